import { BlockList, isIP } from "node:net";

/** How near an address is. `never`: nobody's provider is there (link-local and metadata, multicast, unspecified, reserved). */
export type AddressClass = "public" | "private" | "loopback" | "never";

const listOf = (...subnets: readonly (readonly [string, number])[]): BlockList => {
  const list = new BlockList();
  for (const [address, prefix] of subnets) {
    list.addSubnet(address, prefix, isIP(address) === 6 ? "ipv6" : "ipv4");
  }
  return list;
};
const loopback = listOf(["127.0.0.0", 8], ["::1", 128]);
const privates = listOf(
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["fc00::", 7],
);
const never = listOf(
  ["0.0.0.0", 8],
  ["169.254.0.0", 16],
  ["192.0.0.0", 24],
  ["100.100.100.200", 32], // a metadata service
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["::", 128],
  ["64:ff9b::", 96],
  ["2002::", 16],
  ["fd00:ec2::", 32], // a metadata service
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
);

export function classOfAddress(text: string): AddressClass {
  // An IPv4 address in IPv6's clothes is the IPv4 address.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1];
  const address = mapped ?? text;
  const version = isIP(address);
  if (version === 0 || (mapped === undefined && /^::ffff:/i.test(text))) return "never";
  const family = version === 6 ? "ipv6" : "ipv4";
  if (never.check(address, family)) return "never";
  if (loopback.check(address, family)) return "loopback";
  return privates.check(address, family) ? "private" : "public";
}
