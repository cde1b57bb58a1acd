"""`python -m seeds.receiver PORT`: prints the notifications that come, a line each. For trying things out."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Takes whatever is POSTed, and shows it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Prints the body and says that all is well."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"{self.path} {body.decode(errors='replace')}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the bodies are what is of interest."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
