/** pandas, pyarrow, fsspec's s3fs and DuckDB (httpfs and fsspec) with their default settings. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

/** Fuzzing goes on beside it in the full run. */
const limitMs = isFull ? 60_000 : 20_000;
let node: NodeProcess;
let client: S3Client;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 3, mirrors: 1, deviceSize: "256MiB" });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
  await client.createBucket("frames");
});
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

/** A frame whose content its row numbers decide. */
const frame = `
import json, numpy, pandas, pyarrow, pyarrow.dataset, pyarrow.fs, pyarrow.parquet
def frame(start, count):
    rows = numpy.arange(start, start + count)
    return pandas.DataFrame({"row": rows, "part": rows % 3, "word": ["wörd %d" % row for row in rows], "value": rows * 0.5})
`;

test(
  "pandas writes and reads parquet, CSV and JSON lines by s3:// addresses",
  async () => {
    const said = await tools.data(`${frame}
sent = frame(0, 60000)
sent.to_parquet("s3://frames/pandas/large.parquet")
same = pandas.read_parquet("s3://frames/pandas/large.parquet").equals(sent)
some = pandas.read_parquet("s3://frames/pandas/large.parquet", columns=["value"], filters=[("row", "<", 7)])
small = frame(0, 1000)
small.to_csv("s3://frames/pandas/ünï +%.csv.gz", index=False)
small.to_json("s3://frames/pandas/lines.json", orient="records", lines=True)
print(json.dumps({
  "parquet": same, "some": some["value"].tolist(),
  "csv": pandas.read_csv("s3://frames/pandas/ünï +%.csv.gz").equals(small),
  "json": pandas.read_json("s3://frames/pandas/lines.json", lines=True).equals(small.astype({"value": "float64"})),
}))`);
    expect(JSON.parse(said)).toEqual({
      parquet: true,
      some: [0, 0.5, 1, 1.5, 2, 2.5, 3],
      csv: true,
      json: true,
    });
    const keys = [...(await client.list("frames")).keys()];
    expect(keys.filter((key) => key.startsWith("pandas/"))).toHaveLength(3);
  },
  limitMs,
);

test(
  "pyarrow writes, appends to, filters and deletes a partitioned dataset",
  async () => {
    const said = await tools.data(`${frame}
s3 = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
def write(start, mode):
    pyarrow.dataset.write_dataset(pyarrow.Table.from_pandas(frame(start, 9000)), "frames/set", filesystem=s3,
        format="parquet", partitioning=["part"], partitioning_flavor="hive",
        basename_template="rows-%d-{i}.parquet" % start, existing_data_behavior=mode)
write(0, "error")
write(9000, "overwrite_or_ignore")
whole = pyarrow.dataset.dataset("frames/set", filesystem=s3, partitioning="hive")
rows = sorted(whole.to_table()["row"].to_pylist())
ones = whole.to_table(filter=(pyarrow.dataset.field("part") == 1) & (pyarrow.dataset.field("row") > 17990))["row"].to_pylist()
with s3.open_output_stream("frames/set/large") as target:
    for step in range(12): target.write(bytes([step]) * 1048576)
with s3.open_input_file("frames/set/large") as source:
    at = source.read_at(3, 5 * 1048576 - 1); size = source.size()
s3.move("frames/set/large", "frames/set/moved")
before = len(s3.get_file_info(pyarrow.fs.FileSelector("frames/set", recursive=True)))
s3.delete_dir("frames/set")
print(json.dumps({"rows": rows == list(range(18000)), "ones": ones, "at": list(at), "size": size, "before": before,
  "after": len(s3.get_file_info(pyarrow.fs.FileSelector("frames/set", recursive=True, allow_not_found=True)))}))`);
    expect(JSON.parse(said)).toEqual({
      rows: true,
      ones: [17_992, 17_995, 17_998],
      at: [4, 5, 5],
      size: 12 * 1024 * 1024,
      before: 3 + 6 + 1,
      after: 0,
    });
  },
  limitMs,
);

test(
  "fsspec's s3fs writes blocks, appends, renames, walks and removes a tree",
  async () => {
    const said = await tools.data(`
import s3fs
fs = s3fs.S3FileSystem()
fs.mkdir("spec")
body = os.urandom(6 * 1048576 + 3)
with fs.open("spec/a b/large", "wb", block_size=5 * 1048576) as target: target.write(body)
with fs.open("spec/a b/large", "ab") as target: target.write(b"tail")
with fs.open("spec/a b/large", "rb") as source:
    source.seek(len(body) - 2); tail = source.read()
whole = fs.cat("spec/a b/large") == body + b"tail"
names = ["empty", "ünï/日本語", "per%cent%2F", "what?#&;='", "plus+"]
for name in names: fs.pipe("spec/odd/" + name, name.encode())
fs.mv("spec/a b/large", "spec/moved/large")
fs.cp("spec/odd", "spec/copied", recursive=True)
found = sorted(fs.find("spec"))
read = all(value.decode() == key.split("/copied/")[1] for key, value in fs.cat(fs.find("spec/copied")).items())
size = fs.du("spec/moved")
fs.get("spec/copied", "got", recursive=True)
fs.put("got", "spec/put", recursive=True)
put = len(fs.find("spec/put"))
url = fs.sign("spec/odd/plus+", expiration=60)
signed = urllib.request.urlopen(url).read().decode()
fs.rm("spec", recursive=True)
print(json.dumps({"tail": list(tail) == list(body[-2:] + b"tail"), "whole": whole, "found": len(found), "read": read,
  "size": size == len(body) + 4, "signed": signed, "put": put, "left": fs.exists("spec")}))`);
    expect(JSON.parse(said)).toEqual({
      tail: true,
      whole: true,
      found: 11,
      read: true,
      size: true,
      signed: "plus+",
      put: 5,
      left: false,
    });
  },
  limitMs,
);

test(
  "DuckDB copies to and queries parquet by httpfs with a glob, and by fsspec",
  async () => {
    const said = await tools.data(`
import duckdb, duckdb_extensions, s3fs
duckdb_extensions.import_extension("httpfs")
db = duckdb.connect()
db.execute("LOAD httpfs")
host = os.environ["AWS_ENDPOINT_URL"].split("//")[1]
db.execute(f"""CREATE SECRET (TYPE s3, KEY_ID '{os.environ["AWS_ACCESS_KEY_ID"]}', SECRET '{os.environ["AWS_SECRET_ACCESS_KEY"]}',
  ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)""")
one = lambda query: list(db.sql(query).fetchone())
rows = "(SELECT i AS row, i % 4 AS part, repeat(chr(CAST(97 + i % 26 AS INTEGER)), 40) AS word FROM range(100000) t(i))"
db.execute(f"COPY {rows} TO 's3://frames/duck/one.parquet'")
db.execute(f"COPY {rows} TO 's3://frames/duck/parts' (FORMAT parquet, PARTITION_BY (part))")
db.execute(f"COPY (SELECT * FROM {rows} LIMIT 100) TO 's3://frames/duck/sp ace+%ü.csv'")
answers = {
  "one": one("SELECT count(*), sum(row), count(DISTINCT word) FROM 's3://frames/duck/one.parquet'"),
  "parts": one("SELECT count(*), min(row) FROM read_parquet('s3://frames/duck/parts/*/*.parquet') WHERE part = 3"),
  "csv": one("SELECT count(*) FROM 's3://frames/duck/sp ace+%ü.csv'"),
  "glob": one("SELECT count(*) FROM glob('s3://frames/duck/**')"),
}
other = duckdb.connect()
other.register_filesystem(s3fs.S3FileSystem())
other.execute("COPY (SELECT i FROM range(1000) t(i)) TO 's3://frames/spec.parquet'")
answers["fsspec"] = list(other.sql("SELECT count(*), sum(i) FROM 's3://frames/spec.parquet'").fetchone())
print(json.dumps(answers, default=int))`);
    expect(JSON.parse(said)).toEqual({
      one: [100_000, 4_999_950_000, 26],
      parts: [25_000, 3],
      csv: [100],
      glob: [6],
      fsspec: [1000, 499_500],
    });
  },
  limitMs,
);
