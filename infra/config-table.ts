// `npm run config-table`: writes the table of keys in infra/README.md from Pulumi.yaml.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

interface Key {
  /** Not set for a list of texts and objects, which Pulumi has no type for. */
  readonly type?: string;
  readonly description: string;
  readonly default: unknown;
}

const root = join(import.meta.dirname, "..");
const page = join(import.meta.dirname, "README.md");
/** What stands around the table on the page. Prettier would pad its columns to the longest description. */
const [start, end] = ["<!-- prettier-ignore-start -->\n", "<!-- prettier-ignore-end -->\n"];

/** The default as `pulumi config set` takes it; a pinned image without its digest, which changes with each renewal. */
function formatDefault(value: unknown): string {
  if (value === "" || (Array.isArray(value) && value.length === 0)) return "none";
  return `\`${Array.isArray(value) ? JSON.stringify(value) : String(value).replace(/@sha256:\w+$/, "@sha256:...")}\``;
}

/** The rows of the table, one for each key of a Pulumi.yaml, in its order. */
export function configTable(pulumiYaml: string): string {
  const { config } = parse(pulumiYaml) as { config: Readonly<Record<string, Key>> };
  const rows = Object.entries(config).map(([key, { type = "array", description, default: value }]) => {
    const meaning = description.replace(/[|*]/g, "\\$&");
    return `| \`${key}\` | ${type} | ${formatDefault(value)} | ${meaning} |\n`;
  });
  return `| key | type | default | meaning |\n| --- | --- | --- | --- |\n${rows.join("")}`;
}

/** A page with this table between its markers. Throws where it has no markers. */
export function withConfigTable(text: string, table: string): string {
  const [before, rest] = text.split(start);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`expected ${start.trim()} and ${end.trim()}`);
  return `${before}${start}\n${table}\n${end}${after}`;
}

if (import.meta.main) {
  const table = configTable(readFileSync(join(root, "Pulumi.yaml"), "utf8"));
  writeFileSync(page, withConfigTable(readFileSync(page, "utf8"), table));
}
