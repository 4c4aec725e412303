/**
 * The S3 client under PyTorch's s3torchconnector: AWS's common runtime, by its own wheel. PyTorch itself stays out, since
 * its wheel brings CUDA. In the full run alone.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { cached, Tools } from "../support/tools.ts";

let node: NodeProcess;
let tools: Tools;

const program = `
import json, os
from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client, S3Exception
s3 = MountpointS3Client(region="us-east-1", endpoint=os.environ["AWS_ENDPOINT_URL"], force_path_style=True)
seen = {}
def put(key, *pieces):
    writer = s3.put_object("torch", key)
    for piece in pieces: writer.write(piece)
    writer.close()
get = lambda key, **range: b"".join(s3.get_object("torch", key, **range))
bodies = {f"ünï +%/{size}": os.urandom(size) for size in (0, 1, 4097, 20 * 1048576 + 3)}
for key, body in bodies.items(): put(key, body)
seen["same"] = all(get(key) == body for key, body in bodies.items())
put("checkpoint", *[bytes([step]) * 1048576 for step in range(18)])
seen["range"] = list(get("checkpoint", start=3 * 1048576 - 1, end=3 * 1048576 + 1))
head = s3.head_object("torch", "checkpoint")
seen["head"] = [head.size, head.etag[-3:]]
pages = [[entry.key for entry in page.object_info] for page in s3.list_objects("torch", "ünï", max_keys=2)]
seen["listed"] = [len(pages), sorted(sum(pages, [])) == sorted(bodies)]
s3.copy_object("torch", "checkpoint", "torch", "copied")
seen["copied"] = get("copied") == get("checkpoint")
s3.delete_object("torch", "copied")
try: get("copied")
except S3Exception as reason: seen["deleted"] = "key does not exist" in str(reason)
print(json.dumps(seen))
`;

if (isFull) {
  beforeAll(async () => {
    node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "512MiB" });
    tools = await Tools.of(node);
    await tools.aws("s3", "mb", "s3://torch");
  }, 60_000);
  afterAll(() => node[Symbol.asyncDispose]());

  test("s3torchconnector's client streams up and down by parts, lists, copies and deletes", async () => {
    const python = cached("torch-clients-1/bin/python", "--tests-full");
    const said = await tools.run([python, "-c", program]);
    expect(JSON.parse(said)).toEqual({
      same: true,
      range: [2, 3],
      head: [18 * 1024 * 1024, '-3"'],
      listed: [2, true],
      copied: true,
      deleted: true,
    });
  }, 60_000);
}
