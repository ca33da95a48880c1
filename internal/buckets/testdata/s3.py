"""Serves moto's S3 with a bucket "memories" on a free port of loopback, and prints the address.

One request at a time: moto checks a condition and writes in two steps, between which another thread's
request would come.
"""
import os

os.environ.setdefault("AWS_ACCESS_KEY_ID", "me")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "secret")

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("memories", "us-east-1")
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
