"""Serves ClickHouse's HTTP interface over chdb, the engine of ClickHouse as a library: for tests, on loopback.

serve.py ADDRESS FOLDER. A user and a password are wanted when ENGINE_USER and ENGINE_PASSWORD are set. It speaks what tests need of
the interface: statements in the body or in the parameter "query" with rows in the body, database, param_*, settings, and bodies compressed by zstd or gzip.
"""

import gzip
import hmac
import os
import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import zstandard
from chdb.session import Session

OF_THE_INTERFACE = {"query", "database", "wait_end_of_query", "enable_http_compression"}
INSERT = re.compile(r"^\s*INSERT\s+INTO\s+(.*?)\s+FORMAT\s+(\w+)\s*$", re.IGNORECASE | re.DOTALL)


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Engine:
    """One session: the library runs a statement at a time."""

    def __init__(self, folder):
        self.lock = threading.Lock()
        self.session = Session(folder)
        self.database = None
        self.set = set()

    def run(self, query, rows, database, settings, params):
        with self.lock:
            if database and database != self.database:
                self.session.query("USE `" + database.replace("`", "") + "`")
                self.database = database
            for name in self.set - settings.keys():
                self.session.query(f"SET {name} = DEFAULT")
            self.set = set(settings)
            for name, value in settings.items():
                self.session.query(f"SET {name} = {literal(value)}")
            insert = INSERT.match(query)
            if insert and rows:
                with tempfile.NamedTemporaryFile(suffix=".rows") as file:
                    file.write(rows)
                    file.flush()
                    self.session.query(f"INSERT INTO {insert[1]} FROM INFILE {literal(file.name)} FORMAT {insert[2]}")
                return b""
            return self.session.query(query, "TabSeparated", params=params).bytes()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None
    user = os.environ.get("ENGINE_USER", "default")
    password = os.environ.get("ENGINE_PASSWORD", "")

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, b"Ok.\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        user, password = self.headers.get("X-ClickHouse-User", "default"), self.headers.get("X-ClickHouse-Key", "")
        if user != self.user or not hmac.compare_digest(password.encode(), self.password.encode()):
            return self.answer(403, b"Code: 516. DB::Exception: Authentication failed", 516)
        match self.headers.get("Content-Encoding"):
            case "zstd":
                body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
            case "gzip":
                body = gzip.decompress(body)
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query = given.get("query", "")
        if not query:
            query, body = body.decode(), b""
        params = {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}
        settings = {name: value for name, value in given.items() if name not in OF_THE_INTERFACE and not name.startswith("param_")}
        try:
            self.answer(200, self.engine.run(query, body, given.get("database"), settings, params))
        except Exception as error:
            code = re.match(r"Code: (\d+)", str(error))
            self.answer(500, str(error).encode(), int(code[1]) if code else 1002)

    def answer(self, status, body, code=None):
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    address, folder = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    Handler.engine = Engine(folder)
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()


main()
