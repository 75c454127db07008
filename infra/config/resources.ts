// Reads what the helper's container requests and may use at most.
import { staticNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import type { ConfigReader } from "./reader.ts";

/** Quantities of Kubernetes, by `cpu` and `memory`. */
type Amounts = Readonly<Record<string, string>>;

/** The resources of the helper's container. */
export interface Resources {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

/**
 * In Mi. Measured at the peak: 130 MB for 10,000 namespaces that match a pattern, 114 MB for 200 that are listed by
 * name, whose objects are watched one by one (test/bench/RESULTS.md), and 0.3 MB for each token, which has connections of
 * its own. The rest is reserve, also for ten tokens.
 */
const memoryNeeded = (rules: NamespaceRules, tokens: number): number =>
  160 + staticNamespaces(rules).length + Math.ceil(Math.max(0, tokens - 10) / 3);

/**
 * In thousandths of a CPU. With this the helper is ready eight seconds after it is scheduled. The liveness probe ends it
 * after half a minute, and starting takes the longer the less it has.
 */
const cpuNeeded = 100;

type Unit = "cpu" | "memory";
/** By name, as in a ResourceQuota: thousandths of a CPU, or Mi. */
type Values = Readonly<Record<string, number>>;

const defaults: Values = { "requests.cpu": 10, "requests.memory": 64 };

const amount = { cpu: "(?:[1-9]\\d{0,5}m|[1-9]\\d{0,2})", memory: "(?:[1-9]\\d{0,5}Mi|[1-9]\\d{0,2}Gi)" };
const entry = new RegExp(`^(?:requests|limits)\\.(?:cpu=${amount.cpu}|memory=${amount.memory})$`);
const form =
  "requests.cpu, requests.memory, limits.cpu or limits.memory with an amount: limits.cpu=500m, limits.memory=512Mi";

/** Reads the resources, on top of the defaults and of the memory that these namespaces and this number of tokens need. */
export function readResources(config: ConfigReader, rules: NamespaceRules, tokens: number): Resources {
  const given = config
    .strings("resources", entry, form)
    .filter((text) => entry.test(text))
    .map(parseEntry);
  const minimum: Values = { "limits.cpu": cpuNeeded, "limits.memory": memoryNeeded(rules, tokens) };
  const values: Values = {
    ...defaults,
    "limits.memory": memoryNeeded(rules, tokens),
    ...Object.fromEntries(given.toReversed().map(({ name, value }) => [name, value] as const)),
  };
  given.forEach(({ text, name, unit, value }, index) => {
    const [least, limit] = [minimum[name] ?? 0, values[`limits.${unit}`] ?? Infinity];
    let expected: string | undefined;
    if (given.findIndex((one) => one.name === name) !== index) expected = `${name} once`;
    else if (value < least) expected = `${name}=${quantity(unit, least)} or more, which the helper needs`;
    else if (value > limit)
      expected = `at most limits.${unit}, ${quantity(unit, limit)}, or a higher limits.${unit} too`;
    if (expected !== undefined) config.addMistake("resources", text, expected);
  });
  return { requests: amounts("requests", values), limits: amounts("limits", values) };
}

interface Entry {
  readonly text: string;
  readonly name: string;
  readonly unit: Unit;
  readonly value: number;
}

/** Factors of the units of an amount; a number alone counts CPUs. */
const factors: Values = { m: 1, "": 1000, Mi: 1, Gi: 1024 };

function parseEntry(text: string): Entry {
  const [, name = "", unit, digits, suffix = ""] = /^(.*\.(.*))=(\d+)(.*)$/.exec(text) ?? [];
  return { text, name, unit: unit === "cpu" ? "cpu" : "memory", value: Number(digits) * (factors[suffix] ?? 1) };
}

function amounts(kind: keyof Resources, values: Values): Amounts {
  const units = (["cpu", "memory"] as const).flatMap((unit) => {
    const value = values[`${kind}.${unit}`];
    return value === undefined ? [] : [[unit, quantity(unit, value)] as const];
  });
  return Object.fromEntries(units);
}

/** As the API server writes it: any other form of the same amount would be a change at each `pulumi up --refresh`. */
function quantity(unit: Unit, value: number): string {
  if (unit === "cpu") return value % 1000 === 0 ? String(value / 1000) : `${String(value)}m`;
  return value % 1024 === 0 ? `${String(value / 1024)}Gi` : `${String(value)}Mi`;
}
