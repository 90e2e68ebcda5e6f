"""Runs a function's unpacked code in a Node child that speaks the Lambda Runtime API.

LocalStack calls, within its own process: prepare_version() once per version, then per execution environment
start(env), invoke(payload) any number of times, stop(). An environment handles one invocation at a time, so it has one Runtime
API server (on loopback, any free port) and one child.

Invariants: a child never outlives its environment, since it ends when its Runtime API is gone; an invocation has exactly one
answer, whatever the child does (answers, throws, exits, takes too long); a child that ended is replaced at the next invocation.
"""

import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future, TimeoutError as FutureTimeout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

LOG = logging.getLogger(__name__)
BOOTSTRAP = Path(__file__).with_name("bootstrap.mjs")
NODE = os.environ.get("LAMBDA_NODE_BINARY") or shutil.which("node")
STARTUP_TIMEOUT_S = float(os.environ.get("LAMBDA_NODE_STARTUP_TIMEOUT", "15"))
API = "/2018-06-01/runtime/"


def _error(type_: str, message: str) -> bytes:
    return json.dumps({"errorType": type_, "errorMessage": message}).encode()


class NodeRuntimeExecutor(RuntimeExecutor):
    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id=id, function_version=function_version)
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._proc: subprocess.Popen | None = None
        self._env: dict[str, str] = {}
        self._tmp: str | None = None
        self._reset()

    # -- LocalStack's contract ---------------------------------------------------------------

    @classmethod
    def validate_environment(cls) -> bool:
        if not NODE:
            LOG.warning("no Node.js found: set LAMBDA_NODE_BINARY")
        return bool(NODE)

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        runtime = function_version.config.runtime or ""
        if not runtime.startswith("nodejs"):
            raise ValueError(f"only Node.js functions run here without Docker, not {runtime!r}")
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        # Nothing: a newer version may share the code object; LocalStack destroys code when it is unused.
        pass

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return ""  # only the docker init calls back; here everything is in-process

    def get_logs(self) -> str:
        with self._lock:
            return "".join(self._all_logs)

    def start(self, env_vars: dict[str, str]) -> None:
        self._tmp = tempfile.mkdtemp(prefix="lambda-node-")
        self._env = {k: str(v) for k, v in env_vars.items()}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._spawn()

    def stop(self) -> None:
        self._kill()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._tmp:
            shutil.rmtree(self._tmp, ignore_errors=True)
        if self._result and not self._result.done():
            self._result.cancel()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        request_id = payload["invoke-id"]
        timeout = self.function_version.config.timeout
        if not self._proc or self._proc.poll() is not None:
            self._spawn()  # the previous child crashed or timed out
        with self._lock:
            self._invoke_logs = []
        self._result = Future()
        began = time.monotonic()
        deadline_ms = int((time.time() + timeout) * 1000)
        self._queue.put({**payload, "deadline-ms": str(deadline_ms)})
        try:
            body, is_error = self._result.result(timeout=timeout)
        except FutureTimeout:
            self._kill()
            body, is_error = (
                _error("Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"),
                True,
            )
        ms = (time.monotonic() - began) * 1000
        time.sleep(0.02)  # let the log pump drain what the handler wrote last
        with self._lock:
            text = "".join(self._invoke_logs)
        version = self.function_version.id.qualifier
        logs = (
            f"START RequestId: {request_id} Version: {version}\n{text}END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {ms:.2f} ms\t"
            f"Memory Size: {self.function_version.config.memory_size} MB\n"
        )
        return InvocationResult(request_id, body, is_error=is_error, logs=logs)

    # -- the Node child ----------------------------------------------------------------------

    def _reset(self) -> None:
        self._queue: queue.Queue = queue.Queue()
        self._ready: Future = Future()
        self._result: Future | None = getattr(self, "_result", None)
        self._invoke_logs: list[str] = []
        self._all_logs: list[str] = getattr(self, "_all_logs", [])

    def _spawn(self) -> None:
        self._reset()
        self.function_version.config.code.prepare_for_execution()  # no-op when already unzipped
        code = str(self.function_version.config.code.get_unzipped_code_location())
        port = self._server.server_address[1]
        env = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "en_US.UTF-8",
            "NODE_PATH": os.environ.get("LAMBDA_NODE_PATH", ""),
            **self._env,
            "TMPDIR": self._tmp,
            "HOME": self._tmp,
            "TZ": "UTC",
            "LAMBDA_TASK_ROOT": code,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self.function_version.config.runtime}",
        }
        self._proc = subprocess.Popen(
            # As on AWS the heap gets most of the function's memory; the rest of the process is not limited here.
            [NODE, f"--max-old-space-size={int(self.function_version.config.memory_size * 0.9)}", str(BOOTSTRAP)],
            cwd=code, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._pump, args=(self._proc,), daemon=True).start()
        try:
            self._ready.result(timeout=STARTUP_TIMEOUT_S)
        except FutureTimeout:
            self._kill()
            raise StatusErrorException("startup timed out", _error("Runtime.InitTimeout", "init timed out"))

    def _pump(self, proc: subprocess.Popen) -> None:
        for raw in proc.stdout:
            line = raw.decode(errors="replace")
            with self._lock:
                self._invoke_logs.append(line)
                self._all_logs.append(line)
                del self._all_logs[:-2000]
        code = proc.wait()
        if proc is not self._proc:
            return
        payload = _error("Runtime.ExitError", f"Runtime exited with exit status {code}")
        if not self._ready.done():
            self._ready.set_exception(StatusErrorException("init failed", payload))
        if self._result and not self._result.done():
            self._result.set_result((payload, True))

    def _kill(self) -> None:
        proc, self._proc = self._proc, None
        if proc and proc.poll() is None:
            try:
                os.killpg(proc.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            proc.wait(timeout=5)

    # -- the Runtime API the child talks to --------------------------------------------------

    def _handler_class(executor):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def _reply(self, status: int, body: bytes = b"", headers: dict | None = None):
                self.send_response(status)
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path != f"{API}invocation/next":
                    return self._reply(404)
                waiting = executor._queue
                if not executor._ready.done():
                    executor._ready.set_result(True)
                invocation = waiting.get()
                headers = {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                    "Lambda-Runtime-Deadline-Ms": invocation["deadline-ms"],
                    "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                    "Lambda-Runtime-Trace-Id": invocation["trace-id"],
                }
                self._reply(200, invocation["payload"].encode(), headers)

            def do_POST(self):
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    return self._reply(411)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == f"{API}init/error":
                    if not executor._ready.done():
                        executor._ready.set_exception(StatusErrorException("init failed", body))
                elif self.path.startswith(f"{API}invocation/"):
                    result = executor._result
                    if result and not result.done():
                        result.set_result((body, self.path.endswith("/error")))
                self._reply(202, b'{"status":"OK"}')

        return Handler
