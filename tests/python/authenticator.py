"""Stands in for EKS's authenticator: a Kubernetes webhook token authenticator that accepts a token if botocore, with
the credentials of the environment and the date in the URL, signs the very same URL.

Usage: authenticator.py PORT CLUSTER. What EKS checks is checked: prefix, host, parameters, the cluster's name, age.
"""

import base64
import datetime
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PORT, CLUSTER = int(sys.argv[1]), sys.argv[2]
CREDENTIALS = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ.get("AWS_SESSION_TOKEN"))
REGION = os.environ["AWS_REGION"]
LIFETIME = datetime.timedelta(minutes=15)


class SignedAt(botocore.auth.SigV4QueryAuth):
    """Signs as of a given time."""

    def __init__(self, date):
        super().__init__(CREDENTIALS, "sts", REGION, expires=60)
        self.date = date

    def add_auth(self, request):
        botocore.auth.get_current_datetime = lambda: self.date
        super().add_auth(request)


def refusal(token):
    """Why the token is refused, or None."""
    prefix, _, encoded = token.partition(".")
    if prefix != "k8s-aws-v1" or "=" in encoded or len(token) > 4096:
        return "not a token of EKS"
    url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    # Decoders pass over stray bits and characters; the token must be the one encoding of its URL.
    if base64.urlsafe_b64encode(url.encode()).decode().rstrip("=") != encoded:
        return "not canonical base64url"
    parts = urlsplit(url)
    if (parts.scheme, parts.netloc, parts.path) != ("https", f"sts.{REGION}.amazonaws.com", "/"):
        return "not an address of STS"
    query = dict(parse_qsl(parts.query))
    date = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    age = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - date
    if not -LIFETIME < age < LIFETIME:
        return f"{age} old"
    unsigned = urlencode([(key, query.pop(key, "")) for key in ("Action", "Version")])
    request = AWSRequest("GET", f"https://{parts.netloc}/?{unsigned}", headers={"x-k8s-aws-id": CLUSTER})
    SignedAt(date).add_auth(request)
    return None if request.url == url else "the signature does not fit"


class Authenticator(BaseHTTPRequestHandler):
    """Answers TokenReviews."""

    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            why = refusal(review["spec"]["token"])
        except (ValueError, KeyError) as error:
            why = f"unreadable: {error!r}"
        if why is None:
            name = "arn:aws:sts::123456789012:assumed-role/slipway/test"
            status = {"authenticated": True, "user": {"username": name, "groups": ["system:masters"]}}
        else:
            status = {"authenticated": False, "error": why}
        answer = json.dumps({"apiVersion": review["apiVersion"], "kind": "TokenReview", "status": status}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


ThreadingHTTPServer(("127.0.0.1", PORT), Authenticator).serve_forever()
