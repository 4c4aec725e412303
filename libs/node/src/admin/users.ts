/** Users and managed policies of a tenant. */
import type { TenantId } from "@kiseki/base";
import type { Catalog, ManagedPolicy, User } from "@kiseki/catalog";
import { userArn } from "@kiseki/policy";
import { RpcError } from "@kiseki/rpc";
import type { AdminParts } from "./types.ts";

interface UserView {
  readonly name: string;
  readonly arn: string;
  readonly isRoot: boolean;
  readonly isEnabled: boolean;
  readonly createdUnixMs: bigint;
  readonly policies: string[];
  readonly accessKeyCount: number;
}
interface PolicyView {
  readonly name: string;
  readonly isBuiltIn: boolean;
  readonly changedUnixMs: bigint;
  readonly document: string;
}

const quoted = (name: string): string => JSON.stringify(name.slice(0, 128));

export class UserAdmin {
  readonly #catalog: Catalog;
  readonly #tenant: TenantId;

  constructor({ node }: AdminParts, tenant: TenantId) {
    this.#catalog = node.storage.catalog;
    this.#tenant = tenant;
  }

  users(): UserView[] {
    const keys = this.#catalog.accessKeys(this.#tenant);
    return this.#catalog.users(this.#tenant).map((user) => ({
      ...this.#view(user),
      accessKeyCount: keys.filter((key) => key.user === user.id).length,
    }));
  }

  /** @throws {RpcError} `not_found`: a policy. @throws {CatalogError} `exists`, `invalid`. */
  create(name: string, policies: readonly string[]): UserView {
    const known = new Set(this.#catalog.policies(this.#tenant).map((policy) => policy.name));
    const missing = policies.find((policy) => !known.has(policy));
    if (missing !== undefined) throw this.#noPolicy(missing);
    const user = this.#catalog.createUser(this.#tenant, name);
    for (const policy of policies) this.#catalog.attachPolicy(user.id, policy);
    return this.#show(name);
  }
  /** @throws {RpcError} `not_found`. @throws {CatalogError} `invalid` for the root. */
  setState(name: string, isEnabled: boolean): UserView {
    this.#catalog.setUserDisabled(this.#find(name).id, !isEnabled);
    return this.#show(name);
  }
  /** @throws as `setState`; `not_found` for the policy too. */
  attach(name: string, policy: string): UserView {
    this.#catalog.attachPolicy(this.#find(name).id, policy);
    return this.#show(name);
  }
  detach(name: string, policy: string): UserView {
    this.#catalog.detachPolicy(this.#find(name).id, policy);
    return this.#show(name);
  }
  delete(name: string): void {
    this.#catalog.deleteUser(this.#find(name).id);
  }

  policies(): PolicyView[] {
    return this.#catalog.policies(this.#tenant).map(toPolicy);
  }
  /** @throws {RpcError} `exists`, `not_found`. @throws {CatalogError} `invalid`. */
  putPolicy(name: string, document: string, isUpdate: boolean): PolicyView {
    const isThere = this.policies().some((policy) => policy.name === name);
    if (isThere && !isUpdate) {
      throw new RpcError(
        "exists",
        `There is a policy ${quoted(name)}; "kiseki policy update" replaces it`,
      );
    }
    if (!isThere && isUpdate) throw this.#noPolicy(name);
    this.#catalog.putPolicy(this.#tenant, name, document);
    return this.policies().find((policy) => policy.name === name)!;
  }
  /** @throws {CatalogError} `not_found`, `in_use`, `invalid`. */
  deletePolicy(name: string): void {
    this.#catalog.deletePolicy(this.#tenant, name);
  }

  #noPolicy(name: string): RpcError {
    const advice = '"kiseki policy list" shows all';
    return new RpcError("not_found", `There is no policy ${quoted(name)}; ${advice}`);
  }
  #find(name: string): User {
    const user = this.#catalog.users(this.#tenant).find((each) => each.name === name);
    if (user !== undefined) return user;
    const advice = '"kiseki user list" shows all';
    throw new RpcError("not_found", `There is no user ${quoted(name)}; ${advice}`);
  }
  #show(name: string): UserView {
    return this.users().find((user) => user.name === name)!;
  }
  #view({ id, name, isRoot, isDisabled, created }: User): Omit<UserView, "accessKeyCount"> {
    const account = this.#catalog.account(this.#tenant);
    return {
      name,
      arn: isRoot ? `arn:aws:iam::${account}:root` : userArn(account, name),
      isRoot,
      isEnabled: !isDisabled,
      createdUnixMs: BigInt(created),
      policies: [...this.#catalog.userPolicies(id)],
    };
  }
}

const toPolicy = ({ name, isBuiltIn, changed, document }: ManagedPolicy): PolicyView => ({
  name,
  isBuiltIn,
  changedUnixMs: BigInt(changed ?? 0),
  document,
});
