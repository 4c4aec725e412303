/** The table of verbs and callers in `docs/access.md`, between `<!-- matrix -->` and `<!-- end -->`. */
import { matrixTable } from "../../libs/node/src/gateway/access/matrix.test-helper.ts";

const path = `${import.meta.dir}/../../docs/access.md`;
const text = await Bun.file(path).text();
const [head, rest] = text.split("<!-- matrix -->\n");
const tail = rest?.slice(rest.indexOf("<!-- end -->"));
if (tail === undefined) throw new Error("docs/access.md has no place for the matrix");
await Bun.write(path, `${head}<!-- matrix -->\n\n${matrixTable()}\n\n${tail}`);
