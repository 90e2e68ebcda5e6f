"""Runs Node.js functions of a LocalStack as processes of this machine: LocalStack's contract for what runs a function.

LocalStack calls prepare_version() once per version, then per execution environment start(), invoke() any number of times, one at a
time, and stop(). A child that ended (exit, time-out, killed) is replaced at the next invocation, as on AWS.
"""

import logging
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from bucardo_localstack.child import LOOPBACK, InitError, NodeChild

LOG = logging.getLogger(__name__)
BOOTSTRAP = Path(__file__).with_name("bootstrap.mjs")
NODE = os.environ.get("LAMBDA_NODE_BINARY") or shutil.which("node")
# Lambda's own is 10 s; a loaded machine may need longer.
INIT_TIMEOUT_SECONDS = 30
# The rest is for buffers, code and stacks, which Node does not limit.
HEAP_SHARE = 0.9
# What a function wrote last is in the pipe when it answers, and a moment later in its log.
LOG_DRAIN_SECONDS = 0.02
KEPT_LOG_LINES = 2000


class NodeRuntimeExecutor(RuntimeExecutor):
    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id=id, function_version=function_version)
        self._lock = threading.Lock()
        self._all_logs: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        self._invocation_logs: list[str] = []
        self._env: dict[str, str] = {}
        self._tmp: str | None = None
        self._child: NodeChild | None = None

    @classmethod
    def validate_environment(cls) -> bool:
        if not NODE:
            LOG.warning("no Node.js found: set LAMBDA_NODE_BINARY")
        return bool(NODE)

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        config = function_version.config
        if not (config.runtime or "").startswith("nodejs"):
            raise ValueError(f"only Node.js functions run here without Docker, not {config.runtime!r}")
        if config.layers:
            raise ValueError("layers need Docker")
        if config.code:
            config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        # Nothing: a newer version may share the code object; LocalStack destroys code when it is unused.
        pass

    def get_address(self) -> str:
        return LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        return LOOPBACK

    def get_runtime_endpoint(self) -> str:
        return ""  # For what runs in a container and calls back; here all is in this process.

    def get_logs(self) -> str:
        with self._lock:
            return "".join(self._all_logs)

    def start(self, env_vars: dict[str, str]) -> None:
        self._tmp = tempfile.mkdtemp(prefix="function-")
        self._env = {name: str(value) for name, value in env_vars.items()}
        self._spawn()

    def stop(self) -> None:
        if self._child:
            self._child.close()
        if self._tmp:
            shutil.rmtree(self._tmp, ignore_errors=True)

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        config = self.function_version.config
        request_id = payload["invoke-id"]
        with self._lock:
            self._invocation_logs = []
        began = time.monotonic()
        child = self._child
        try:
            if child is None or not child.alive:
                child = self._spawn()
            deadline_ms = int((time.time() + config.timeout) * 1000)
            body, is_error = child.invoke({**payload, "deadline-ms": str(deadline_ms)}, config.timeout)
        except StatusErrorException as e:
            body, is_error = e.payload, True
        ms = (time.monotonic() - began) * 1000
        time.sleep(LOG_DRAIN_SECONDS)
        with self._lock:
            text = "".join(self._invocation_logs)
        logs = (
            f"START RequestId: {request_id} Version: {self.function_version.id.qualifier}\n"
            f"{text}END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {ms:.2f} ms\tMemory Size: {config.memory_size} MB\n"
        )
        return InvocationResult(request_id, body, is_error=is_error, logs=logs)

    def _spawn(self) -> NodeChild:
        """A child that has loaded the handler. Raises StatusErrorException if it could not."""
        config = self.function_version.config
        if self._child:
            self._child.close()
        config.code.prepare_for_execution()  # Does nothing if it is unpacked.
        code = str(config.code.get_unzipped_code_location())
        self._child = NodeChild(
            [NODE, f"--max-old-space-size={int(config.memory_size * HEAP_SHARE)}", str(BOOTSTRAP)],
            cwd=code,
            env={
                "PATH": os.environ.get("PATH", ""),
                "LANG": "en_US.UTF-8",
                **self._env,
                "TMPDIR": self._tmp,
                "HOME": self._tmp,
                "TZ": "UTC",
                "LAMBDA_TASK_ROOT": code,
                "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.runtime}",
            },
            on_output=self._keep_log,
        )
        try:
            self._child.wait_until_ready(INIT_TIMEOUT_SECONDS)
        except InitError as e:
            raise StatusErrorException("init failed", e.payload) from e
        return self._child

    def _keep_log(self, line: str) -> None:
        with self._lock:
            self._invocation_logs.append(line)
            self._all_logs.append(line)
