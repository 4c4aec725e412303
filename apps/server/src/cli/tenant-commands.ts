import { exitCode } from "@kiseki/cli";
import { formatTable, formatTime } from "./format.ts";
import type { Session, Work } from "./session.ts";

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
