/** boto3 with its default settings; one Python process per test, since starting one costs a second. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { NodeProcess } from "../support/node-process.ts";
import { oddKeys } from "../support/odd-keys.ts";
import { digest, S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

let node: NodeProcess;
let client: S3Client;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "512MiB" });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
  await client.createBucket("boto");
});
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

test("boto3 TransferManager uploads and downloads by parts, with metadata and progress", async () => {
  const path = await tools.makeTree("boto", new Map([["file", 40 * 1024 * 1024 + 17]]));
  const said = await tools.boto3(`
seen = []
s3.upload_file(${JSON.stringify(`${path}/file`)}, "boto", "file", Callback=seen.append,
  ExtraArgs={"Metadata": {"who": "me"}, "ContentType": "application/x-test"})
head = s3.head_object(Bucket="boto", Key="file")
s3.download_file("boto", "file", "got")
target = io.BytesIO()
s3.download_fileobj("boto", "file", target)
print(json.dumps({
  "sent": sum(seen), "size": head["ContentLength"], "metadata": head["Metadata"], "type": head["ContentType"],
  "hash": hashlib.sha256(open("got", "rb").read()).hexdigest(),
  "again": hashlib.sha256(target.getvalue()).hexdigest(),
}))`);
  const source = digest(new Uint8Array(await Bun.file(`${path}/file`).arrayBuffer()));
  expect(JSON.parse(said)).toEqual({
    sent: 40 * 1024 * 1024 + 17,
    size: 40 * 1024 * 1024 + 17,
    metadata: { who: "me" },
    type: "application/x-test",
    hash: source,
    again: source,
  });
}, 20_000);

test("boto3 presigned GET and PUT work without keys, and only as signed", async () => {
  const said = await tools.boto3(`
import urllib.error
body = os.urandom(100000)
put = s3.generate_presigned_url("put_object", Params={"Bucket": "boto", "Key": "pre signed/+%"})
urllib.request.urlopen(urllib.request.Request(put, data=body, method="PUT", headers={"Content-Type": ""}))
get = s3.generate_presigned_url("get_object", Params={"Bucket": "boto", "Key": "pre signed/+%"})
got = urllib.request.urlopen(get).read()
def status(url):
    try:
        return urllib.request.urlopen(url).status
    except urllib.error.HTTPError as reason:
        return reason.code
print(json.dumps({
  "same": got == body,
  "plain": status(get.split("?")[0]),
  "otherKey": status(get.replace("pre%20signed", "other")),
  "otherMethod": status(put),
}))`);
  expect(JSON.parse(said)).toEqual({
    same: true,
    plain: 403,
    otherKey: 403,
    otherMethod: 403,
  });
}, 20_000);

test("boto3 generate_presigned_post lets a browser upload what was signed, and nothing else", async () => {
  const said = await tools.boto3(`
import http.client, urllib.parse, uuid
def form(post, content, name="photo.jpg", **more):
    mark = uuid.uuid4().hex
    parts = [f'--{mark}\\r\\nContent-Disposition: form-data; name="{k}"\\r\\n\\r\\n{v}\\r\\n'.encode() for k, v in {**post["fields"], **more}.items()]
    parts.append(f'--{mark}\\r\\nContent-Disposition: form-data; name="file"; filename="{name}"\\r\\nContent-Type: image/jpeg\\r\\n\\r\\n'.encode() + content + b'\\r\\n')
    body = b"".join(parts) + f'--{mark}--\\r\\n'.encode()
    url = urllib.parse.urlsplit(post["url"])
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("POST", url.path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    return [answer.status, text.split("<Code>")[1].split("<")[0] if "<Code>" in text else ""]
content = os.urandom(6_000_000)
fields = {"Content-Type": "image/jpeg", "success_action_status": "201"}
conditions = [{"Content-Type": "image/jpeg"}, {"success_action_status": "201"}, ["content-length-range", 1, 7_000_000]]
post = s3.generate_presigned_post("boto", "forms/\${filename}", Fields=fields, Conditions=conditions)
done = form(post, content)
got = s3.get_object(Bucket="boto", Key="forms/photo.jpg")
print(json.dumps({
  "done": done, "same": got["Body"].read() == content, "type": got["ContentType"],
  "extra": form(post, b"x", "no", **{"x-amz-meta-a": "b"}),
  "empty": form(post, b"", "no"),
  "large": form(post, bytes(7_000_001), "no"),
  "elsewhere": form(post, b"x", "no", key="elsewhere"),
  "stored": [entry["Key"] for entry in s3.list_objects_v2(Bucket="boto", Prefix="forms/").get("Contents", [])],
}))`);
  expect(JSON.parse(said)).toEqual({
    done: [201, ""],
    same: true,
    type: "image/jpeg",
    extra: [403, "AccessDenied"],
    empty: [400, "EntityTooSmall"],
    large: [400, "EntityTooLarge"],
    elsewhere: [403, "AccessDenied"],
    stored: ["forms/photo.jpg"],
  });
}, 20_000);

test("boto3 puts, lists, gets and deletes odd keys, listed by pages and by directory", async () => {
  const keys = oddKeys.filter((key) => !/[\u0000-\u0008\u000b-\u001f\u007f]/.test(key));
  await tools.makeTree("odd", new Map());
  await Bun.write(`${tools.folder}/keys.json`, JSON.stringify(keys));
  const said = await tools.boto3(`
keys = json.load(open("keys.json"))
s3.create_bucket(Bucket="boto-odd")
for at, key in enumerate(keys):
    s3.put_object(Bucket="boto-odd", Key=key, Body=b"%d" % at)
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="boto-odd", PaginationConfig={"PageSize": 3})
listed = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
old = s3.get_paginator("list_objects").paginate(Bucket="boto-odd", PaginationConfig={"PageSize": 4})
listed_old = [entry["Key"] for page in old for entry in page.get("Contents", [])]
names = set()
def walk(prefix):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="boto-odd", Prefix=prefix, Delimiter="/"):
        names.update(entry["Key"] for entry in page.get("Contents", []))
        for common in page.get("CommonPrefixes", []):
            if len(common["Prefix"]) < 40:
                walk(common["Prefix"])
walk("")
got = all(s3.get_object(Bucket="boto-odd", Key=key)["Body"].read() == b"%d" % at for at, key in enumerate(keys))
errors = s3.delete_objects(Bucket="boto-odd", Delete={"Objects": [{"Key": key} for key in keys]}).get("Errors", [])
left = s3.list_objects_v2(Bucket="boto-odd")["KeyCount"]
s3.delete_bucket(Bucket="boto-odd")
print(json.dumps({
  "listed": listed == sorted(keys, key=lambda key: key.encode()), "old": listed_old == listed, "got": got,
  "walked": sorted(set(key for key in keys if len(key) < 40) - names), "errors": errors, "left": left,
}))`);
  expect(JSON.parse(said)).toEqual({
    listed: true,
    old: true,
    got: true,
    walked: [],
    errors: [],
    left: 0,
  });
}, 20_000);

test("boto3 conditional puts and the checksum algorithms that it has without awscrt", async () => {
  const said = await tools.boto3(`
from botocore.exceptions import ClientError
answers = {}
for name in ("CRC32", "SHA1", "SHA256"):
    put = s3.put_object(Bucket="boto", Key="sum-" + name, Body=b"content of " + name.encode(), ChecksumAlgorithm=name)
    got = s3.get_object(Bucket="boto", Key="sum-" + name, ChecksumMode="ENABLED")
    got["Body"].read()
    answers[name] = put["Checksum" + name] == got["Checksum" + name]
s3.put_object(Bucket="boto", Key="once", Body=b"1", IfNoneMatch="*")
try:
    s3.put_object(Bucket="boto", Key="once", Body=b"2", IfNoneMatch="*")
except ClientError as reason:
    answers["second"] = reason.response["Error"]["Code"]
answers["kept"] = s3.get_object(Bucket="boto", Key="once")["Body"].read().decode()
print(json.dumps(answers))`);
  expect(JSON.parse(said)).toEqual({
    CRC32: true,
    SHA1: true,
    SHA256: true,
    second: "PreconditionFailed",
    kept: "1",
  });
}, 20_000);

test("boto3 has ten uploads in flight on few connections, empty bodies among them", async () => {
  const said = await tools.boto3(`
from concurrent.futures import ThreadPoolExecutor
sizes = [0, 1, 4095, 4096, 4097, 65536, 1048577]
bodies = {f"many/{at}": os.urandom(sizes[at % len(sizes)]) for at in range(140)}
with ThreadPoolExecutor(10) as pool:
    list(pool.map(lambda key: s3.put_object(Bucket="boto", Key=key, Body=io.BytesIO(bodies[key])), bodies))
    got = list(pool.map(lambda key: s3.get_object(Bucket="boto", Key=key)["Body"].read() == bodies[key], bodies))
print(json.dumps(all(got)))`);
  expect(JSON.parse(said)).toBe(true);
}, 20_000);
