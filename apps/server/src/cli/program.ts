import {
  CommandError,
  completionScript,
  type ExitCode,
  exitCode,
  runWords,
  shells,
} from "@kiseki/cli";
import { Command } from "commander";
import { addCachePolicy } from "./cache-policy-commands.ts";
import { openConsole } from "./console.ts";
import { exportEncryption, importEncryption, recoverEncryption } from "./encryption-commands.ts";
import * as hold from "./hold-commands.ts";
import { listKeysets, rekey, rotateKek, rotateMaster, showKmsKey } from "./keyset-commands.ts";
import { showLifecycle } from "./lifecycle-commands.ts";
import { addDevice, evacuateDevice, removeDevice } from "./device-commands.ts";
import { replaceDevice, runScrub, runVerify } from "./long-commands.ts";
import {
  listDeadLetters,
  listTargets,
  retryDeadLetters,
  showNotifications,
} from "./notification-commands.ts";
import { clearQuota, setQuota, showQuota } from "./quota-commands.ts";
import * as role from "./role-commands.ts";
import { act, type Work } from "./session.ts";
import * as show from "./show-commands.ts";
import { createTenant, listTenants, shredTenant } from "./tenant-commands.ts";
import * as user from "./user-commands.ts";

const afterHelp = `
The node is found by --socket, --endpoint, KISEKI_ENDPOINT, or the socket in --config-dir (KISEKI_CONFIG_DIR).
Exit codes: 0 done, 1 not done or damage found, 2 wrong words, 3 no node reached, 4 not let in.`;

/** The program with all its commands; `onEnd` is told how the one that ran ended. */
export function buildProgram(
  version: string,
  onEnd: (code: ExitCode) => void,
  isJson = false,
): Command {
  const program = newProgram(isJson).version(version, "--version", "version of this command alone");
  const add: Add = (parent, words, description, work) => {
    const command = parent.command(words).description(description);
    act(command, onEnd, work);
    return command;
  };
  const group = (name: string, description: string): Command =>
    program.command(name).description(description);

  add(program, "status", "the node at a glance", show.showStatus);
  addTenants(group("tenant", "tenants, each with buckets, users and keys of its own"), add);
  const ofTenant: Add = (...command) => add(...command).option(...tenantOption);
  addBuckets(group("bucket", "buckets"), ofTenant);
  addLifecycle(group("lifecycle", "rules by which objects expire"), ofTenant);
  addHolds(group("hold", "what keeps all that a bucket has"), ofTenant);
  addQuotas(group("quota", "limits of a bucket, or of the tenant when none is named"), ofTenant);
  addCachePolicy(group("cache-policy", "what clients may keep on their disks"), add);
  addNotifications(
    group("notification", "events of buckets on their way to webhooks and NATS"),
    ofTenant,
  );
  addUsers(group("user", "users of S3, and what they may do"), ofTenant);
  addPolicies(group("policy", "policies that users and roles can be given"), ofTenant);
  addAccessKeys(group("access-key", "access keys of S3 clients"), ofTenant);
  addRoles(group("role", "rights that somebody takes on for a while"), ofTenant);
  addProviders(group("oidc", "identity providers whose tokens are taken"), ofTenant);
  addDevices(group("device", "devices that hold content"), add);
  add(program, "scrub", "read and check every record, repair what is bad", runScrub);
  add(
    program,
    "verify [bucket]",
    "read every object as a client would and name what is damaged",
    runVerify,
  ).option("--quick", "ask the index alone, read no content");
  addImport(group("import", "moving in from another store"), add);
  const encryption = group("encryption", "keys of the node: export, import, recovery, rotation");
  addEncryption(encryption, add);
  addKeysets(encryption, add);
  const ofAll = "versions of this command, the node and its crypto module";
  add(program, "version", ofAll, show.showVersion(version));
  add(program, "doctor", "check the node's surroundings and say what to mend", show.runDoctor);
  addCompletion(program, add);
  return program;
}

type Add = (parent: Command, words: string, description: string, work: Work) => Command;

/** The program with the options that every command takes, and no command yet. */
function newProgram(isJson: boolean): Command {
  return new Command("kiseki")
    .configureOutput(isJson ? { writeErr: () => undefined } : {}) // said as JSON by `runProgram`
    .description("Administration of a Kiseki storage node")
    .option("--json", "print one JSON object a line, and nothing else")
    .option("--config-dir <dir>", "config directory of the node: its socket, token and certificate")
    .option("--socket <path>", "local socket of the node")
    .option("--endpoint <url>", "https://host:port of the node")
    .option("--token-file <path>", "file with the bearer token (KISEKI_TOKEN_FILE)")
    .option("--ca <path>", "PEM certificate that the node's must be, or be signed by")
    .option("--cert <path>", "PEM certificate to show to the node")
    .option("--key <path>", "PEM key of --cert")
    .showHelpAfterError('("kiseki --help" shows commands and options)')
    .addHelpText("after", afterHelp)
    .exitOverride();
}

function addCompletion(program: Command, add: Add): void {
  const description = `print a completion script for ${shells.join(", ")}`;
  add(program, "completion <shell>", description, async (_, shell) => {
    const script = completionScript(program, shell ?? "");
    if (script === undefined) {
      throw new CommandError(
        exitCode.arguments,
        `Cannot complete for ${shell}: it is one of ${shells.join(", ")}`,
      );
    }
    process.stdout.write(script);
    return exitCode.ok;
  });
}

/** What only an import needs is loaded by an import alone. */
const importMinio: Work = async (session) =>
  (await import("./import/import-minio.ts")).importMinio(session);

function addImport(parent: Command, add: Add): void {
  add(parent, "minio", "carry users, policies, buckets and objects of a MinIO here", importMinio)
    .option("--from <url>", "S3 address of the running MinIO, whose objects are copied")
    .option("--from-credentials <path>", 'JSON with its "access_key" and "secret_key"')
    .option("--iam <file>", "zip of mc admin cluster iam export: users, groups, policies, keys")
    .option("--bucket-metadata <file>", "zip of mc admin cluster bucket export: settings, quotas")
    .option("--root-user <name>", "MINIO_ROOT_USER: its service accounts become the root's")
    .option("--bucket <name...>", "these buckets alone")
    .option("--state <file>", "keeps how far it is; the same words again go on from there")
    .option("--parallel <count>", "keys that are copied at once; 4 when left out")
    .option("--overwrite", "let copies replace other objects of the same name")
    .option("--read-back", "read every copy back whole and compare")
    .option("--to <url>", "S3 address of the node; asked of the node when left out")
    .option("--to-credentials <path>", "as above; credentials.json of --config-dir when left out")
    .option("--dry-run", "say what would be carried, and change nothing");
}

function addDevices(parent: Command, add: Add): void {
  add(parent, "list", "list devices with their state", show.listDevices);
  add(
    parent,
    "replace <device-id> <path>",
    "give a device's place to another and repair onto it",
    replaceDevice,
  )
    .option("--size <size>", "of a device file that has to be made; as the old one when left out")
    .option("--force", "take a device that carries a Kiseki superblock");
  addDeviceChanges(parent, add);
}

function addDeviceChanges(parent: Command, add: Add): void {
  add(parent, "add <path>", "make a new device one more of a pool's", addDevice)
    .option("--pool <name>", "the default pool when left out")
    .option(
      "--size <size>",
      "of a device file that has to be made; as the pool's smallest when left out",
    )
    .option("--force", "take a device that carries a Kiseki superblock");
  add(parent, "evacuate <device-id>", "move all that a device holds to others", evacuateDevice)
    .option("--less-redundancy", "even where the pool survives fewer losses without it")
    .option("--cancel", "keep the device after all");
  add(parent, "remove <device-id>", "take out a device that is empty, or lost", removeDevice);
}

const tenantOption = [
  "--tenant <name>",
  "name or id of the tenant; the default one when left out",
] as const;

function addTenants(parent: Command, add: Add): void {
  add(parent, "list", "list tenants with their accounts", listTenants);
  add(parent, "create <name>", "make a tenant; its root's secret is shown once", createTenant);
  const shred = "destroy a tenant's key for good; nothing that it stored opens any more";
  add(parent, "shred <tenant>", shred, shredTenant)
    .option("--confirm <tenant>", "its name or id once more")
    .option("--force", "even where holds keep something (Object Lock always does)");
}

function addBuckets(parent: Command, add: Add): void {
  add(parent, "list", "list buckets with objects and sizes", show.listBuckets);
  add(parent, "create <name>", "make a bucket", show.createBucket);
  add(parent, "delete <name>", "delete an empty bucket", show.deleteBucket);
}

function addLifecycle(parent: Command, add: Add): void {
  add(parent, "status", "show how far each bucket's rules are applied", showLifecycle);
}

function addHolds(parent: Command, add: Add): void {
  add(parent, "list <bucket>", "list a bucket's holds", hold.listHolds);
  const set = "let nothing of a bucket be removed or written over";
  add(parent, "set <bucket> <id>", set, hold.setHold).option(
    "--until <time>",
    "such as 2030-01-31T00:00:00Z; until it is released when left out",
  );
  add(parent, "release <bucket> <id>", "end a hold", hold.releaseHold);
}

function addQuotas(parent: Command, add: Add): void {
  add(parent, "show [bucket]", "show limits and what counts against them", showQuota);
  add(parent, "set [bucket]", "set limits; one that is left out is none", setQuota)
    .option("--bytes <size>", "of all versions and of parts of open uploads, such as 10GiB")
    .option("--objects <count>", "versions and delete markers");
  add(parent, "clear [bucket]", "take the limits away", clearQuota);
}

function addNotifications(parent: Command, add: Add): void {
  add(parent, "targets", "list where events may go, with the ARNs that buckets name", listTargets);
  add(parent, "status", "show how far each target is", showNotifications);
  add(parent, "dead-letters <target>", "list events that it would not take", listDeadLetters);
  add(parent, "retry <target>", "send its dead letters once more", retryDeadLetters);
}

function addUsers(parent: Command, add: Add): void {
  add(parent, "list", "list users with their policies", user.listUsers);
  add(parent, "show <name>", "show a user", user.showUser);
  add(parent, "create <name>", "make a user, who may do nothing yet", user.createUser).option(
    "--policies <names>",
    "comma-separated policies to begin with, such as readonly",
  );
  add(parent, "attach <name> <policy>", "give it a policy", user.attachUser);
  add(parent, "detach <name> <policy>", "take a policy away", user.detachUser);
  add(parent, "enable <name>", "take its access keys again", user.setUserState(true));
  add(parent, "disable <name>", "refuse all its access keys", user.setUserState(false));
  add(parent, "delete <name>", "delete it with its access keys", user.deleteUser);
}

function addPolicies(parent: Command, add: Add): void {
  const file = ["--policy-file <path>", "JSON of the policy"] as const;
  add(parent, "list", "list policies, those built in too", user.listPolicies);
  add(parent, "show <name>", "show a policy", user.showPolicy);
  add(parent, "create <name>", "make a policy", user.putPolicy(false)).requiredOption(...file);
  add(parent, "update <name>", "replace a policy", user.putPolicy(true)).requiredOption(...file);
  add(parent, "delete <name>", "delete a policy that nobody has", user.deletePolicy);
}

function addAccessKeys(parent: Command, add: Add): void {
  add(parent, "list", "list access keys, without secrets", show.listAccessKeys);
  add(parent, "create", "make an access key; its secret is shown once", show.createAccessKey)
    .option("--user <name>", "whose it is; root when left out")
    .option("--policy-file <path>", "JSON that narrows what it may")
    .option("--expires <time>", "refused from then on, such as 2030-01-31T00:00:00Z")
    .option("--description <text>", "what it is for");
  add(parent, "show <access-key-id>", "show it with the policy of its own", show.showAccessKey);
  add(parent, "enable <access-key-id>", "let it sign requests again", show.setAccessKeyState(true));
  add(parent, "disable <access-key-id>", "refuse what it signs", show.setAccessKeyState(false));
  add(
    parent,
    "limit <access-key-id>",
    "limits of its own; what is left out follows the node's flags, 0 is no limit",
    show.limitAccessKey,
  )
    .option("--requests-per-second <count>", "requests in a second")
    .option("--burst <count>", "requests at once after a pause")
    .option("--bytes-per-second <size>", "of bodies in both directions, such as 10MiB")
    .option("--requests-at-once <count>", "requests under way");
  add(parent, "delete <access-key-id>", "delete it for good", show.deleteAccessKey);
}

function addRoles(parent: Command, add: Add): void {
  const trust = ["--trust-file <path>", "JSON that says who may take it on"] as const;
  add(parent, "list", "list roles with their policies", role.listRoles);
  add(parent, "show <name>", "show a role and whom it trusts", role.showRole);
  add(parent, "create <name>", "make a role", role.createRole)
    .requiredOption(...trust)
    .option("--max-seconds <count>", "how long its credentials may last; 3600 when left out");
  add(parent, "trust <name>", "trust others from now on", role.trustRole).requiredOption(...trust);
  add(parent, "attach <name> <policy>", "give it a policy", role.attachRole);
  add(parent, "detach <name> <policy>", "take a policy away", role.detachRole);
  add(parent, "delete <name>", "delete it; its credentials end", role.deleteRole);
}

function addProviders(parent: Command, add: Add): void {
  add(parent, "list", "list providers", role.listProviders);
  add(parent, "add <name> <issuer>", "take tokens of an issuer", role.addProvider)
    .requiredOption("--client-ids <ids>", "whom its tokens are for, comma-separated")
    .option("--policy-claim <name>", "claim that names policies; policy when left out");
  add(parent, "remove <name>", "take no more tokens; what they gave ends", role.removeProvider);
}

function addEncryption(parent: Command, add: Add): void {
  const folders = (command: Command): Command =>
    command
      .option("--data-dir <dir>", "data directory of the stopped node (KISEKI_DATA_DIR)")
      .option("--mirror <dirs>", "its mirrors, comma-separated (KISEKI_MIRRORS)");
  const passphrase = [
    "--passphrase-file <path>",
    "first line is the passphrase; else asked for, or standard input",
  ] as const;
  add(
    parent,
    "export <file>",
    "write node secret and cluster key, sealed by a passphrase",
    exportEncryption,
  ).option(...passphrase);
  folders(
    add(
      parent,
      "import <file>",
      "put an export back into a stopped node; prints a new recovery code",
      importEncryption,
    ),
  ).option(...passphrase);
  folders(
    add(
      parent,
      "recover",
      "open a stopped node whose config directory was lost by its recovery code",
      recoverEncryption,
    ),
  ).option("--code-file <path>", "first line is the code; else asked for, or standard input");
}

function addKeysets(parent: Command, add: Add): void {
  add(
    parent,
    "rekey",
    "make a new keyset for new writes; what is stored follows in the background",
    rekey,
  ).option(...tenantOption);
  add(
    parent,
    "keysets",
    "list keysets that live and what is left under the older ones",
    listKeysets,
  ).option(...tenantOption);
  const named = "show how S3 names the tenant's key, for aws:kms";
  add(parent, "key", named, showKmsKey).option(...tenantOption);
  add(parent, "rotate-master", "make a new master key; touches no data", rotateMaster);
  add(
    parent,
    "rotate-kek",
    "make a new version of the tenant's key in its key manager; touches no data",
    rotateKek,
  ).option(...tenantOption);
}

/** Runs the command that `words` name. Never throws for bad words or refusals. */
export async function runProgram(version: string, words: readonly string[]): Promise<ExitCode> {
  let ended: ExitCode = exitCode.ok;
  const program = buildProgram(version, (code) => (ended = code), words.includes("--json"));
  return (await runWords(program, words, (error) => openConsole(true).fail(error))) ?? ended;
}
