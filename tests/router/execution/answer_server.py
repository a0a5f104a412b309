"""A server on the loopback address that gives every request the answer that a test sets."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class AnswerServer:
    """Answers every request as the attributes say."""

    def __init__(self) -> None:
        self.status, self.content_type, self.body = 200, "application/json", b""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for the whole answer: in two, each answer would wait for an acknowledgement

            def log_message(self, *args: object) -> None:
                """Write no log."""

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(owner.status)
                self.send_header("Content-Type", owner.content_type)
                self.send_header("Content-Length", str(len(owner.body)))
                self.end_headers()
                self.wfile.write(owner.body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
