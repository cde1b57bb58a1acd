"""`python -m seeds.receiver PORT`: prints each notification that it receives on a line. For experiments."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Prints the path and body of each POST."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Prints the path and the body, and responds with 200."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"{self.path} {body.decode(errors='replace')}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Suppresses the access log, so that only notifications are printed."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
