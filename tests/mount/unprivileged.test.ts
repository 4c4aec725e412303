/** A mount by somebody who may not mount(2): the setuid helper hands it over, and the owner alone may look into it. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, setDefaultTimeout, test } from "bun:test";
import { NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { bounded, clientCommand, hasFuse, KisekiMount, mountWords } from "./kiseki-mount.ts";

setDefaultTimeout(20_000);
/** `nobody`: fusermount3 wants one that has a name. */
const user = 65_534;
/** Somebody who may read what the tests keep to root, and nothing else of root's. */
const asUser = [
  ...["setpriv", "--reuid", `${user}`, "--regid", `${user}`, "--clear-groups"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"],
];

test.skipIf(!hasFuse)(
  "a user without privileges mounts, works alone in it, and takes it away",
  async () => {
    await using node = await NodeProcess.started({ devices: 1, mirrors: 0 });
    using s3 = await S3Client.of(node);
    await s3.createBucket("mine");
    await s3.put("mine", "folder/object", "content");
    {
      await using mount = await KisekiMount.start(node, { namespace: "mine" });
      chownSync(mount.folder, user, user); // the root of a new namespace is root's
    }
    const parent = mkdtempSync(join(tmpdir(), "kiseki-user-"));
    const target = join(parent, "mount");
    mkdirSync(target);
    for (const path of [parent, target]) chownSync(path, user, user);
    const words = [
      ...[...clientCommand(), ...mountWords(node, target, { namespace: "mine" })],
      ...["--ca", join(node.configDirectory, "rpc-cert.pem")],
      ...["--token-file", join(node.configDirectory, "rpc-token")],
    ];
    const env = { ...plainEnvironment(), KISEKI_CACHE_DIR: join(parent, "cache"), HOME: parent };
    const { mode } = statSync("/dev/fuse");
    try {
      chmodSync("/dev/fuse", 0o666); // as udev has it
      const made = Bun.spawnSync([...asUser, ...words], { env });
      expect([made.exitCode, made.stderr.toString()]).toEqual([0, ""]);
      const shell = (text: string) => bounded(...asUser, "sh", "-ec", text);
      const work = `cd ${target} && cat folder/object; echo mine >own && stat -c ' %u %g' own && cat own`;
      expect(shell(work)).toEqual({ code: 0, output: `content ${user} ${user}\nmine\n` });
      expect(bounded("ls", target)).toMatchObject({ code: 2 }); // not even root, without allow_other
      expect(new TextDecoder().decode((await s3.get("mine", "own"))!)).toBe("mine\n");
      expect(statSync(parent).uid).toBe(user);
      expect(shell(`fusermount3 -u ${target}`)).toEqual({ code: 0, output: "" });
      expect(existsSync(join(target, "own"))).toBe(false);
    } finally {
      bounded("umount", "-l", target);
      chmodSync("/dev/fuse", mode & 0o777);
      rmSync(parent, { recursive: true, force: true });
    }
  },
);
