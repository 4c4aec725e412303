import { readFile } from "node:fs/promises";
import { CommandError, exitCode } from "@kiseki/cli";
import { formatDuration, formatTable } from "./format.ts";
import { countOption, type Session, textOption, type Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });

interface Role {
  readonly name: string;
  readonly arn: string;
  readonly policies: readonly string[];
  readonly secondsMax: number;
  readonly trust: string;
}

export const listRoles: Work = async (session) => {
  const client = await session.client();
  const { roles } = await client.listRoles({}, call(session));
  for (const role of roles) session.console.emit(role);
  const rows = roles.map(({ name, arn, policies, secondsMax }) => [
    name,
    policies.join(", ") || "none",
    formatDuration(BigInt(secondsMax) * 1000n),
    arn,
  ]);
  session.console.say(formatTable(["ROLE", "POLICIES", "AT MOST", "ARN"], rows));
  return exitCode.ok;
};

/** The trust policy of a role as it was put. */
export const showRole: Work = async (session, name = "") => {
  const client = await session.client();
  const { roles } = await client.listRoles({}, call(session));
  const role = roles.find((each) => each.name === name);
  if (role === undefined) {
    throw new CommandError(
      exitCode.general,
      `There is no role ${JSON.stringify(name)}`,
      '"kiseki role list" shows all',
    );
  }
  return tell(session, role);
};

function tell(session: Session, role: Role | undefined): 0 {
  session.console.emit(role ?? {});
  if (role !== undefined) {
    const { name, arn, policies, trust } = role;
    const held = policies.length === 0 ? "no policies" : policies.join(", ");
    session.console.say(`Role ${name} (${arn}): ${held}\n${trust.trim()}`);
  }
  return exitCode.ok;
}

async function readTrust(session: Session): Promise<string> {
  const path = textOption(session, "trustFile") ?? "";
  try {
    return await readFile(path, "utf8");
  } catch (reason) {
    const why = reason instanceof Error ? reason.message : String(reason);
    throw new CommandError(exitCode.arguments, `Cannot read the trust policy: ${why}`);
  }
}

export const createRole: Work = async (session, name = "") => {
  const trust = await readTrust(session);
  const secondsMax = Number(countOption(session, "maxSeconds") ?? 0n);
  const client = await session.client();
  const { role } = await client.createRole({ name, trust, secondsMax }, call(session));
  return tell(session, role);
};

export const trustRole: Work = async (session, name = "") => {
  const trust = await readTrust(session);
  const client = await session.client();
  const { role } = await client.setRoleTrust({ name, trust }, call(session));
  return tell(session, role);
};

export const attachRole: Work = async (session, name = "", policy = "") => {
  const client = await session.client();
  const { role } = await client.attachRolePolicy({ name, policy }, call(session));
  return tell(session, role);
};

export const detachRole: Work = async (session, name = "", policy = "") => {
  const client = await session.client();
  const { role } = await client.detachRolePolicy({ name, policy }, call(session));
  return tell(session, role);
};

export const deleteRole: Work = async (session, name = "") => {
  const client = await session.client();
  await client.deleteRole({ name }, call(session));
  session.console.emit({ deleted: name });
  session.console.say(`Role ${name} is gone, and with it what it gave.`);
  return exitCode.ok;
};

export const listProviders: Work = async (session) => {
  const client = await session.client();
  const { providers } = await client.listProviders({}, call(session));
  for (const provider of providers) session.console.emit(provider);
  const rows = providers.map(({ name, issuer, clientIds, policyClaim }) => [
    name,
    clientIds.join(", "),
    policyClaim,
    issuer,
  ]);
  session.console.say(formatTable(["PROVIDER", "CLIENT IDS", "CLAIM", "ISSUER"], rows));
  return exitCode.ok;
};

export const addProvider: Work = async (session, name = "", issuer = "") => {
  const clientIds = (textOption(session, "clientIds") ?? "").split(",").filter((id) => id !== "");
  const policyClaim = textOption(session, "policyClaim") ?? "";
  const request = { name, issuer, clientIds, policyClaim };
  const client = await session.client();
  const { provider } = await client.addProvider(request, call(session));
  session.console.emit(provider ?? {});
  session.console.say(
    `Tokens of ${issuer} are taken. Trust policies name it ${provider?.arn ?? ""}`,
  );
  return exitCode.ok;
};

export const removeProvider: Work = async (session, name = "") => {
  const client = await session.client();
  await client.removeProvider({ name }, call(session));
  session.console.emit({ removed: name });
  session.console.say(`Provider ${name} is gone, and with it what its tokens gave.`);
  return exitCode.ok;
};
