// Reads the entries of `registries`, each a host, or an object with the role that asks for that registry's token.
import { isRecord } from "../../helper/shared/record.ts";
import type { RegistryRole, RegistryRoleWithHosts } from "../../helper/shared/registry-logins.ts";
import type { Registry } from "../registry.ts";
import { roleArn as roleArnPattern, tag } from "./aws-names.ts";
import { rejectOtherPartitions } from "./partition.ts";
import type { ConfigReader } from "./reader.ts";

/** A host, which may still be any text, and its role; undefined for the helper's own identity. */
export interface RegistryEntry {
  readonly host: string;
  readonly role: RegistryRole | undefined;
}

const key = "registries";
const fields = ["host", "roleArn", "externalId", "sessionTags"] as const;

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
const externalIdPattern = /^[\w+=,.@:/-]{2,1224}$/;
const maxTags = 50;
/** The keys of the tags that a session of EKS Pod Identity has, and passes on: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html */
const podIdentityTag = /^(?:eks-cluster-(?:arn|name)|kubernetes-(?:namespace|service-account|pod-name|pod-uid))$/i;

/** Reads one entry, and collects the mistakes in it but those of the host. Empty where there is no host. `form` describes an entry. */
export function readEntry(config: ConfigReader, entry: unknown, own: Registry, form: string): RegistryEntry[] {
  if (typeof entry === "string") return [{ host: entry, role: undefined }];
  if (!isRecord(entry) || typeof entry["host"] !== "string") {
    config.addMistake(key, JSON.stringify(entry), form);
    return [];
  }
  return [{ host: entry["host"], role: readRole(config, entry, own) }];
}

function readRole(
  config: ConfigReader,
  entry: Readonly<Record<string, unknown>>,
  own: Registry,
): RegistryRole | undefined {
  if (Object.keys(entry).some((one) => !fields.some((field) => field === one))) {
    config.addMistake(key, JSON.stringify(entry), `no fields but ${fields.join(", ")}`);
  }
  const arn = readText(
    config,
    entry,
    { field: "roleArn", form: "arn:PARTITION:iam::ACCOUNT:role/NAME" },
    roleArnPattern,
  );
  const idForm = "2 to 1224 letters, digits or _+=,.@:/-";
  const externalId = readText(config, entry, { field: "externalId", form: idForm }, externalIdPattern);
  const sessionTags = readTags(config, entry["sessionTags"] ?? []);
  if (arn !== undefined) {
    rejectOtherPartitions(config, { key, what: "a role", pattern: roleArnPattern }, [arn], own);
    return { roleArn: arn, ...(externalId === undefined ? {} : { externalId }), sessionTags };
  }
  if (entry["roleArn"] === undefined && (entry["externalId"] ?? entry["sessionTags"]) !== undefined) {
    config.addMistake(key, JSON.stringify(entry), "a roleArn beside externalId and sessionTags, which are a role's");
  }
  return undefined;
}

/** A field of an entry; undefined where it is not set. `pulumi config set --path` writes a text of digits as a number. */
function readText(
  config: ConfigReader,
  entry: Readonly<Record<string, unknown>>,
  { field, form }: { readonly field: "roleArn" | "externalId"; readonly form: string },
  pattern: RegExp,
): string | undefined {
  const value = entry[field];
  if (value === undefined) return undefined;
  const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof text === "string" && pattern.test(text)) return text;
  config.addMistake(key, typeof text === "string" ? text : JSON.stringify(text), `as ${field} ${form}`);
  return typeof text === "string" ? text : "";
}

function readTags(config: ConfigReader, value: unknown): Readonly<Record<string, string>> {
  const form = `as sessionTags a list of KEY=VALUE, at most ${String(maxTags)}, with a KEY that does not start with aws: and is not __proto__`;
  const list = Array.isArray(value) ? (value as unknown[]) : [];
  if (!Array.isArray(value) || list.length > maxTags) config.addMistake(key, JSON.stringify(value), form);
  const tags = list.filter((one) => typeof one === "string" && tag.test(one)) as string[];
  for (const one of list.filter((other) => !tags.some((right) => right === other))) {
    config.addMistake(key, typeof one === "string" ? one : JSON.stringify(one), form);
  }
  const pairs = tags.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)] as const);
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, index) => names.findIndex((other) => isSameKey(other, name)) !== index);
  if (twice !== undefined) config.addMistake(key, twice, "each KEY of sessionTags once: AWS does not tell case");
  const isPod = config.explicitValue("identity") === "podIdentity";
  for (const name of names.filter((one) => isPod && podIdentityTag.test(one))) {
    config.addMistake(key, name, "another KEY: sessions of identity podIdentity have that tag, and pass it on");
  }
  return Object.fromEntries(pairs);
}

const isSameKey = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** The roles with their hosts. Collects the mistakes that several entries together have. */
export function rolesOf(config: ConfigReader, entries: readonly RegistryEntry[]): readonly RegistryRoleWithHosts[] {
  const roles = new Map<string, RegistryRole & { hosts: string[] }>();
  for (const { host, role } of entries) {
    if (entries.find((other) => other.host === host)?.role?.roleArn !== role?.roleArn) {
      config.addMistake(key, host, "each host once, or with the same roleArn: a docker config has one login for it");
    }
    if (role === undefined) continue;
    const known = roles.get(role.roleArn) ?? { ...role, hosts: [] };
    if (!isSameRole(known, role)) {
      const expected = "the same externalId and sessionTags with each registry: a role has one token in a region";
      config.addMistake(key, role.roleArn, expected);
    }
    roles.set(role.roleArn, { ...known, hosts: [...new Set([...known.hosts, host])] });
  }
  return [...roles.values()];
}

const isSameRole = (one: RegistryRole, other: RegistryRole): boolean =>
  one.externalId === other.externalId && JSON.stringify(one.sessionTags) === JSON.stringify(other.sessionTags);
