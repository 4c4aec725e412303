"""Signs requests with botocore's S3 signers at a fixed time; prints JSON rows for botocore-golden.json."""
import datetime
import json
import types
from urllib.parse import urlsplit
import botocore, botocore.auth, botocore.credentials, botocore.awsrequest

NOW = datetime.datetime(2026, 11, 20, 11, 22, 33, tzinfo=datetime.timezone.utc)
class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None): return NOW
    @classmethod
    def utcnow(cls): return NOW.replace(tzinfo=None)
botocore.auth.get_current_datetime = lambda remove_tzinfo=True: NOW.replace(tzinfo=None) if remove_tzinfo else NOW
botocore.auth.datetime = types.SimpleNamespace(datetime=FixedDatetime) if hasattr(botocore.auth,"datetime") else None
creds = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
tcreds = botocore.credentials.Credentials("AKIDTEMP", "temporary/secret", "token//with+signs==")
B = "http://bucket.example.com:9000"
cases = [
 ("get", "GET", "/key", {}, {}, None, "hash"),
 ("root", "GET", "/", {}, {}, None, "hash"),
 ("double slash", "GET", "//a//b/", {}, {}, None, "hash"),
 ("dots kept", "GET", "/a/../b/./c", {}, {}, None, "hash"),
 ("space and plus", "GET", "/a%20b%2Bc", {}, {}, None, "hash"),
 ("percent in key", "GET", "/100%25", {}, {}, None, "hash"),
 ("unicode", "GET", "/%E3%82%AD%E3%82%BB%E3%82%AD", {}, {}, None, "hash"),
 ("tilde", "GET", "/~user/a~b", {}, {}, None, "hash"),
 ("query", "GET", "/b?list-type=2&prefix=a%2Fb&delimiter=%2F&continuation-token=x%2By%3D", {}, {}, None, "hash"),
 ("query without value", "GET", "/b?uploads", {}, {}, None, "hash"),
 ("query order", "GET", "/b?b=2&a=3&a=1&A=9&a-b=1", {}, {}, None, "hash"),
 ("put", "PUT", "/key", {"Content-Type": "text/plain", "x-amz-meta-a": "hello"}, {}, b"body bytes", "hash"),
 ("metadata with blanks", "PUT", "/key", {"x-amz-meta-a": "  a   b\tc  ", "x-amz-meta-B": "X"}, {}, b"", "hash"),
 ("unsigned payload", "PUT", "/key", {}, {}, b"body", "unsigned"),
 ("delete", "DELETE", "/key?versionId=null", {}, {}, None, "hash"),
]
rows = []
def emit(name, form, req, key):
    p = req.prepare()
    u = p.url.split("://",1)[1]; target = u[u.index("/"):]
    headers = [[k, v.decode() if isinstance(v, bytes) else v] for k, v in p.headers.items()]
    if not any(k.lower()=="host" for k,_ in headers): headers.insert(0, ["Host", "bucket.example.com:9000"])
    rows.append({"name": name, "form": form, "method": p.method, "target": target, "headers": headers, "accessKeyId": key})
for name, method, target, headers, params, body, mode in cases:
    for form, cr in (("header", creds), ("header", tcreds), ("query", creds), ("query", tcreds)):
        if form == "query" and mode == "unsigned": continue
        req = botocore.awsrequest.AWSRequest(method=method, url=B + target, headers=dict(headers), data=None if form == "query" else body)
        req.context["client_config"] = None
        if mode == "unsigned": req.context["payload_signing_enabled"] = False
        cls = botocore.auth.S3SigV4Auth if form == "header" else botocore.auth.S3SigV4QueryAuth
        if mode == "unsigned":
            req.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
            class U(cls):
                def payload(self, request): return "UNSIGNED-PAYLOAD"
            cls = U
        else:
            class H(cls):
                def _should_sha256_sign_payload(self, request): return True
            cls = H if form == "header" else cls
        s = cls(cr, "s3", "eu-west-7")
        if form == "query": s._expires = 600
        s.add_auth(req)
        emit(name + (" (token)" if cr is tcreds else ""), form, req, cr.access_key)
print(json.dumps({"signer": "botocore " + botocore.__version__, "now": int(NOW.timestamp()*1000), "rows": rows}, indent=1))
