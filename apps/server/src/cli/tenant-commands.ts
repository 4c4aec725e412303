import { CommandError, exitCode } from "@kiseki/cli";
import { formatTable, formatTime } from "./format.ts";
import { endedEarly } from "./long-commands.ts";
import { type Session, textOption, type Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });

export const listTenants: Work = async (session) => {
  const client = await session.client();
  const { tenants } = await client.listTenants({}, call(session));
  for (const tenant of tenants) session.console.emit(tenant);
  const rows = tenants.map(({ name, account, id, createdUnixMs, isDefault }) => [
    isDefault ? `${name} (default)` : name,
    account,
    id,
    formatTime(createdUnixMs),
  ]);
  session.console.say(formatTable(["TENANT", "ACCOUNT", "ID", "CREATED"], rows));
  return exitCode.ok;
};

export const createTenant: Work = async (session, name = "") => {
  const client = await session.client();
  const { tenant, accessKeyId, secretAccessKey } = await client.createTenant(
    { name },
    call(session),
  );
  session.console.emit({ ...tenant, accessKeyId, secretAccessKey });
  session.console.say(
    `Tenant      ${name} (${tenant?.id})\nAccess key  ${accessKeyId}\nSecret      ${secretAccessKey}`,
  );
  session.console.note("The secret is shown this once and kept nowhere else that can be read.");
  return exitCode.ok;
};

/** Asks for the name twice: there is no way back. */
export const shredTenant: Work = async (session, tenant = "") => {
  const { console, options, signal } = session;
  const confirmation = textOption(session, "confirm");
  if (confirmation !== tenant) {
    throw new CommandError(
      exitCode.arguments,
      `Cannot shred ${tenant} without --confirm ${tenant}: all that it has stored is lost for good, to everybody`,
      '"kiseki bucket list --tenant" shows what that is.',
    );
  }
  const client = await session.client();
  const request = { tenant, confirmation, isForced: options["force"] === true };
  using progress = console.progress("Freeing what it stored");
  let isTold = false;
  for await (const step of client.shredTenant(request, { signal })) {
    const { id, effectiveAtUnixMs, provider, absentMembers } = step;
    if (step.isDestroyed && !isTold) {
      isTold = true;
      console.say(
        `The key of ${tenant} (${id}) is destroyed in key manager ${provider}, for good from ${formatTime(effectiveAtUnixMs)}.`,
      );
      for (const member of absentMembers)
        console.note(`${member} is away: what it has of the key is overwritten before it is used.`);
    }
    if (!step.isDone) continue;
    progress[Symbol.dispose]();
    console.emit({ id, effectiveAtUnixMs, provider, absentMembers });
    console.say(
      "What it stored is freed. Mounts wipe their caches when they next ask for the key.",
    );
    return exitCode.ok;
  }
  throw endedEarly();
};
