"""A Node process that runs one function, and the Runtime API server that it asks for invocations.

Invariants:
- One server per child, so that whatever a killed child still sends reaches nobody.
- An invocation has exactly one answer, the first of: what the child posts under its id, the child's end, the time-out.
- The child does not outlive this process, however that ends: its standard input is a pipe that we hold, and the bootstrap exits when
  it closes. (Not PR_SET_PDEATHSIG: that one fires when the *thread* ends that started the child.)
"""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as FutureTimeout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"
RUNTIME_API = "/2018-06-01/runtime/"
# How soon a server notices that it is to end.
SERVER_POLL_SECONDS = 0.1

# The JSON body, and whether it describes an error.
type Answer = tuple[bytes, bool]


def error(type_: str, message: str) -> bytes:
    """An error as Lambda describes it to the caller."""
    return json.dumps({"errorType": type_, "errorMessage": message}).encode()


class InitError(Exception):
    """The handler could not be loaded; `payload` is what the caller is told."""

    def __init__(self, payload: bytes) -> None:
        super().__init__("init failed")
        self.payload = payload


class NodeChild:
    def __init__(self, command: list[str], cwd: str, env: dict[str, str], on_output: Callable[[str], None]) -> None:
        # Guards everything that decides which answer is the first.
        self._lock = threading.Lock()
        self._ready: Future[None] = Future()
        self._current: tuple[str, Future[Answer]] | None = None
        self._ended: bytes | None = None
        # For the request for the next invocation; None: there will be none.
        self._waiting: queue.SimpleQueue[dict[str, str] | None] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler_of(self))
        self._in_thread(self._server.serve_forever, SERVER_POLL_SECONDS)
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**env, "AWS_LAMBDA_RUNTIME_API": f"{LOOPBACK}:{self._server.server_address[1]}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own, so that what the function started ends with it.
            start_new_session=True,
        )
        self._in_thread(self._pump, on_output)
        self._in_thread(self._watch)

    @property
    def alive(self) -> bool:
        return self._ended is None and self._process.poll() is None

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Returns when the handler is loaded. Raises InitError, and has ended the child, if that fails or takes too long."""
        try:
            self._ready.result(timeout_seconds)
        except FutureTimeout:
            self.close()
            raise InitError(error("Sandbox.Timedout", f"init took more than {timeout_seconds:.0f} s")) from None
        except InitError:
            self.close()
            raise

    def invoke(self, invocation: dict[str, str], timeout_seconds: float) -> Answer:
        """Waits for the answer. Ends the child if it takes too long."""
        request_id = invocation["invoke-id"]
        answer: Future[Answer] = Future()
        with self._lock:
            if self._ended is not None:
                return self._ended, True
            self._current = (request_id, answer)
        self._waiting.put(invocation)
        try:
            return answer.result(timeout_seconds)
        except FutureTimeout:
            self.close()
            message = f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
            return error("Sandbox.Timedout", message), True

    def close(self) -> None:
        """Kills the child with what it started and ends the server. May be called again."""
        self._kill_group()
        self._process.wait()
        self._waiting.put(None)
        self._process.stdin.close()
        self._server.shutdown()
        self._server.server_close()

    # -- what the child does ------------------------------------------------------------------

    def next_invocation(self) -> dict[str, str] | None:
        """It has loaded the handler, or has answered, and asks for more."""
        with self._lock:
            if not self._ready.done():
                self._ready.set_result(None)
        return self._waiting.get()

    def fail_init(self, payload: bytes) -> None:
        with self._lock:
            if not self._ready.done():
                self._ready.set_exception(InitError(payload))

    def answer(self, request_id: str, payload: bytes, is_error: bool) -> None:
        with self._lock:
            if self._current and self._current[0] == request_id and not self._current[1].done():
                self._current[1].set_result((payload, is_error))

    # -- its process --------------------------------------------------------------------------

    def _pump(self, on_output: Callable[[str], None]) -> None:
        for line in self._process.stdout:
            on_output(line.decode(errors="replace"))

    def _watch(self) -> None:
        code = self._process.wait()
        payload = error("Runtime.ExitError", f"Runtime exited with exit status {code}")
        self.fail_init(payload)
        with self._lock:
            self._ended = payload
            if self._current and not self._current[1].done():
                self._current[1].set_result((payload, True))
        # The thread that serves its last request need not wait for ever.
        self._waiting.put(None)

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # Nobody of the group is left.

    @staticmethod
    def _in_thread(target: Callable, *args) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()


def _handler_of(child: NodeChild) -> type[BaseHTTPRequestHandler]:
    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise the body waits 40 ms for the headers to be acknowledged.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path != f"{RUNTIME_API}invocation/next":
                return self._reply(404)
            invocation = child.next_invocation()
            if invocation is None:
                return self._reply(410)
            self._reply(
                200,
                invocation["payload"].encode(),
                {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                    "Lambda-Runtime-Deadline-Ms": invocation["deadline-ms"],
                    "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                    "Lambda-Runtime-Trace-Id": invocation["trace-id"],
                },
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            match self.path.removeprefix(RUNTIME_API).split("/"):
                case ["init", "error"]:
                    child.fail_init(body)
                case ["invocation", request_id, "response" | "error" as kind]:
                    child.answer(request_id, body, kind == "error")
                case _:
                    return self._reply(404)
            self._reply(202, b'{"status":"OK"}')

        def _reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            try:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # The child ended meanwhile; that is its answer.

        def log_message(self, *args) -> None:
            pass  # It would tell every request.

    return RuntimeApi
