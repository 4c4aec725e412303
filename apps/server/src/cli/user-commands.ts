import { readFile } from "node:fs/promises";
import { CommandError, exitCode } from "@kiseki/cli";
import { formatTable, formatTime } from "./format.ts";
import { type Session, textOption, type Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });

interface User {
  readonly name: string;
  readonly arn: string;
  readonly isEnabled: boolean;
  readonly isRoot: boolean;
  readonly policies: readonly string[];
  readonly accessKeyCount: number;
  readonly createdUnixMs: bigint;
}
const heldBy = ({ policies, isRoot }: User): string =>
  isRoot ? "may do everything" : policies.join(", ") || "none";

export const listUsers: Work = async (session) => {
  const client = await session.client();
  const { users } = await client.listUsers({}, call(session));
  for (const user of users) session.console.emit(user);
  const rows = users.map((user) => [
    user.name,
    user.isEnabled ? "enabled" : "disabled",
    String(user.accessKeyCount),
    formatTime(user.createdUnixMs),
    heldBy(user),
  ]);
  session.console.say(formatTable(["USER", "STATE", "KEYS", "CREATED", "POLICIES"], rows));
  return exitCode.ok;
};

export const showUser: Work = async (session, name = "") => {
  const client = await session.client();
  const { users } = await client.listUsers({}, call(session));
  return tell(session, found(users, name, "user"));
};

function found<T extends { readonly name: string }>(
  list: readonly T[],
  name: string,
  what: "user" | "policy",
): T {
  const one = list.find((each) => each.name === name);
  if (one !== undefined) return one;
  throw new CommandError(
    exitCode.general,
    `There is no ${what} ${JSON.stringify(name)}`,
    `"kiseki ${what} list" shows all`,
  );
}

function tell(session: Session, user: User | undefined): 0 {
  session.console.emit(user ?? {});
  if (user !== undefined) {
    const state = user.isEnabled ? "" : ", disabled";
    session.console.say(`User ${user.name} (${user.arn})${state}: ${heldBy(user)}`);
  }
  return exitCode.ok;
}

export const createUser: Work = async (session, name = "") => {
  const policies = (textOption(session, "policies") ?? "").split(",").filter((each) => each !== "");
  const client = await session.client();
  const { user } = await client.createUser({ name, policies }, call(session));
  return tell(session, user);
};

export function setUserState(isEnabled: boolean): Work {
  return async (session, name = "") => {
    const client = await session.client();
    const { user } = await client.setUserState({ name, isEnabled }, call(session));
    return tell(session, user);
  };
}

export const attachUser: Work = async (session, name = "", policy = "") => {
  const client = await session.client();
  const { user } = await client.attachUserPolicy({ name, policy }, call(session));
  return tell(session, user);
};

export const detachUser: Work = async (session, name = "", policy = "") => {
  const client = await session.client();
  const { user } = await client.detachUserPolicy({ name, policy }, call(session));
  return tell(session, user);
};

export const deleteUser: Work = async (session, name = "") => {
  const client = await session.client();
  await client.deleteUser({ name }, call(session));
  session.console.emit({ name, isDeleted: true });
  session.console.say(`Deleted user ${name} with its access keys`);
  return exitCode.ok;
};

/** The policy in the file that the option names. */
export async function readPolicy(session: Session): Promise<string> {
  const path = textOption(session, "policyFile") ?? "";
  try {
    return await readFile(path, "utf8");
  } catch (reason) {
    const why = reason instanceof Error ? reason.message : String(reason);
    throw new CommandError(exitCode.arguments, `Cannot read the policy: ${why}`);
  }
}

export const listPolicies: Work = async (session) => {
  const client = await session.client();
  const { policies } = await client.listPolicies({}, call(session));
  for (const policy of policies) session.console.emit(policy);
  const rows = policies.map(({ name, isBuiltIn, changedUnixMs }) => [
    name,
    isBuiltIn ? "built in" : formatTime(changedUnixMs),
  ]);
  session.console.say(formatTable(["POLICY", "CHANGED"], rows));
  return exitCode.ok;
};

export const showPolicy: Work = async (session, name = "") => {
  const client = await session.client();
  const { policies } = await client.listPolicies({}, call(session));
  const policy = found(policies, name, "policy");
  session.console.emit(policy);
  session.console.say(policy.document.trim());
  return exitCode.ok;
};

export function putPolicy(isUpdate: boolean): Work {
  return async (session, name = "") => {
    const document = await readPolicy(session);
    const client = await session.client();
    const { policy } = await client.putPolicy({ name, document, isUpdate }, call(session));
    session.console.emit(policy ?? {});
    session.console.say(`${isUpdate ? "Replaced" : "Made"} policy ${name}`);
    return exitCode.ok;
  };
}

export const deletePolicy: Work = async (session, name = "") => {
  const client = await session.client();
  await client.deletePolicy({ name }, call(session));
  session.console.emit({ name, isDeleted: true });
  session.console.say(`Deleted policy ${name}`);
  return exitCode.ok;
};
