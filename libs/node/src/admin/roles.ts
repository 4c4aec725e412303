import type { TenantId } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import { providerArn, roleArn } from "@kiseki/policy";
import type { AdminParts } from "./types.ts";

type Role = ReturnType<Catalog["roles"]["list"]>[number];
type Provider = ReturnType<Catalog["providers"]["list"]>[number];

interface RoleView {
  readonly name: string;
  readonly arn: string;
  readonly policies: string[];
  readonly secondsMax: number;
  readonly createdUnixMs: bigint;
  readonly trust: string;
}
interface ProviderView {
  readonly name: string;
  readonly issuer: string;
  readonly clientIds: string[];
  readonly policyClaim: string;
  readonly arn: string;
  readonly createdUnixMs: bigint;
}

/** Roles and identity providers of a tenant. What throws is a `CatalogError`. */
export class RoleAdmin {
  readonly #catalog: Catalog;
  readonly #tenant: TenantId;

  constructor({ node }: AdminParts, tenant: TenantId) {
    this.#catalog = node.storage.catalog;
    this.#tenant = tenant;
  }
  roles(): RoleView[] {
    return this.#catalog.roles.list(this.#tenant).map((role) => this.#viewOf(role));
  }
  create(name: string, trust: string, secondsMax: number): RoleView {
    const options = { trust, ...(secondsMax === 0 ? {} : { secondsMax }) };
    return this.#viewOf(this.#catalog.roles.create(this.#tenant, name, options));
  }
  setTrust(name: string, trust: string): RoleView {
    this.#catalog.roles.setTrust(this.#tenant, name, trust);
    return this.#role(name);
  }
  attach(name: string, policy: string): RoleView {
    this.#catalog.roles.attach(this.#tenant, name, policy);
    return this.#role(name);
  }
  detach(name: string, policy: string): RoleView {
    this.#catalog.roles.detach(this.#tenant, name, policy);
    return this.#role(name);
  }
  delete(name: string): void {
    this.#catalog.roles.delete(this.#tenant, name);
  }

  providers(): ProviderView[] {
    return this.#catalog.providers.list(this.#tenant).map((each) => this.#providerView(each));
  }
  addProvider(
    name: string,
    issuer: string,
    clientIds: readonly string[],
    policyClaim: string,
  ): ProviderView {
    const options = { issuer, clientIds, policyClaim: policyClaim === "" ? "policy" : policyClaim };
    return this.#providerView(this.#catalog.providers.create(this.#tenant, name, options));
  }
  removeProvider(name: string): void {
    this.#catalog.providers.delete(this.#tenant, name);
  }

  #role(name: string): RoleView {
    return this.roles().find((role) => role.name === name)!;
  }
  #viewOf({ name, policies, secondsMax, created, trust }: Role): RoleView {
    return {
      name,
      arn: roleArn(this.#catalog.account(this.#tenant), name),
      policies: [...policies],
      secondsMax,
      createdUnixMs: BigInt(created),
      trust,
    };
  }
  #providerView({ name, issuer, clientIds, policyClaim, created }: Provider): ProviderView {
    return {
      name,
      issuer,
      clientIds: [...clientIds],
      policyClaim,
      arn: providerArn(this.#catalog.account(this.#tenant), issuer),
      createdUnixMs: BigInt(created),
    };
  }
}
