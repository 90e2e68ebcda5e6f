"""What LocalStack loads: chosen with LAMBDA_RUNTIME_EXECUTOR=node."""

from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin


class NodeRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    name = "node"

    def load(self, *args, **kwargs):
        from bucardo_localstack.executor import NodeRuntimeExecutor

        write_to_own_log_groups()
        return NodeRuntimeExecutor


def write_to_own_log_groups() -> None:
    """LocalStack writes every function's log to /aws/lambda/NAME; AWS to the group that the function names."""
    default = ExecutionEnvironment.get_log_group_name

    def get_log_group_name(self) -> str:
        return self.function_version.config.logging_config.get("LogGroup") or default(self)

    ExecutionEnvironment.get_log_group_name = get_log_group_name
