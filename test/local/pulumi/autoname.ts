// Names that the program leaves to the provider: the resource's name in the program with seven random hexadecimal digits
// (AutoName and ComputeAutoNameDefault in pulumi-terraform-bridge pkg/tfbridge/names.go).
import { createHash, randomBytes } from "node:crypto";
import type { CheckFailure, Schema } from "./schema.ts";
import type { Properties } from "./values.ts";

/** What a generated name is built from. */
export interface Naming {
  /** The resource's name in the program. */
  readonly name: string;
  /** The engine's random seed: the same in the preview and in the update, another one for every replacement. */
  readonly seed?: Uint8Array | undefined;
  /** The stack's setting `pulumi:autonaming`, evaluated by the engine. */
  readonly rule?: { readonly mode: "propose" | "enforce" | "disable"; readonly proposed: string } | undefined;
}

const digits = 7;

/** Fills in the names that the schema declares as generated. A name that was generated before is kept. */
export function withAutonames(
  schema: Schema,
  inputs: Properties,
  old: Properties,
  naming: Naming,
): { inputs: Properties; filled: string[]; failures: CheckFailure[] } {
  const named = { ...inputs };
  const filled: string[] = [];
  const failures: CheckFailure[] = [];
  for (const [property, { autoname }] of Object.entries(schema)) {
    // With a prefix the original provider generates the name itself.
    if (autoname === undefined || property in inputs || `${property}Prefix` in inputs) continue;
    const name = keptName(old, property) ?? newName(naming);
    if (name === undefined) continue;
    if (name.length > autoname.maxLength) {
      const reason = `name '${naming.name}' plus ${String(digits)} random chars is longer than maximum length ${String(autoname.maxLength)}`;
      failures.push({ property, reason });
      continue;
    }
    named[property] = name;
    filled.push(property);
  }
  return { inputs: named, filled, failures };
}

function keptName(old: Properties, property: string): string | undefined {
  const filled = old["__defaults"];
  const name = old[property];
  return typeof name === "string" && Array.isArray(filled) && filled.includes(property) ? name : undefined;
}

function newName({ name, seed, rule }: Naming): string | undefined {
  if (rule?.mode === "disable") return undefined;
  if (rule !== undefined) return rule.proposed;
  const random =
    seed === undefined || seed.length === 0
      ? randomBytes(digits).toString("hex")
      : createHash("sha256").update(seed).update(name).digest("hex");
  return `${name}-${random.slice(0, digits)}`;
}
