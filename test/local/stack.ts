// A stack of the local cloud: its folder and its configuration.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { home } from "./settings.ts";
import { LocalCloudError } from "./process.ts";

/** The project's folder. */
const project = resolve(import.meta.dirname, "../..");
const stacks = join(home, "stacks");

/** An opened stack. */
export interface Stack {
  readonly name: string;
  /** The path of the checkout. */
  readonly project: string;
  /** The stack's own folder with its configuration, which is a Pulumi project, too. It exists as long as the stack. */
  readonly folder: string;
  /** The path of the configuration that the pulumi command reads: Pulumi.dev.yaml with the overrides of this stack. */
  readonly configFile: string;
  /** The same configuration with the defaults of Pulumi.yaml, as the program gets it: strings, or JSON for other types. */
  readonly config: Record<string, string>;
  readonly overrides: Readonly<Record<string, unknown>>;
}

interface Declaration {
  default: unknown;
}

type Values = Record<string, unknown>;

const readYaml = (file: string): unknown => parse(readFileSync(file, "utf8"));

/** The configuration keys that Pulumi.yaml declares. */
const declarations = (): Record<string, Declaration> =>
  (readYaml(join(project, "Pulumi.yaml")) as { config: Record<string, Declaration> }).config;

const asText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** The defaults of Pulumi.yaml, as the program gets them: strings, or JSON for other types. */
export const defaultConfig = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(declarations()).map(([key, { default: value }]) => [`ecr-helper:${key}`, asText(value)]),
  );

/** Parses `-c key=value`. A key without a namespace is the project's; a list is JSON. Throws LocalCloudError for anything else. */
export function parseOverride(override: string): [key: string, value: unknown] {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(override) ?? [];
  if (name === undefined || value === undefined) {
    throw new LocalCloudError(`-c ${override}: expected key=value, for example -c logLevel=debug.`);
  }
  const key = name.includes(":") ? name : `ecr-helper:${name}`;
  const declared = declarations()[key.replace(/^ecr-helper:/, "")];
  if (!Array.isArray(declared?.default)) return [key, value];
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list)) return [key, list];
    throw new TypeError("It is JSON, but no list.");
  } catch (cause) {
    throw new LocalCloudError(`-c ${override}: expected a list as JSON, for example -c '${name}=["one","two"]'.`, {
      cause,
    });
  }
}

/** The names of all stacks of the local cloud. */
export const stackNames = (): string[] => (existsSync(stacks) ? readdirSync(stacks) : []);

/**
 * Opens a stack and writes its configuration: this machine's platform, then Pulumi.dev.yaml, then the overrides of earlier runs that
 * `saveOverrides` wrote, then the given ones; later values win. Throws LocalCloudError for an invalid name.
 */
export function openStack(name: string, overrides: readonly [key: string, value: unknown][] = []): Stack {
  if (!/^[A-Za-z0-9_.-]{1,40}$/.test(name))
    throw new LocalCloudError(`--stack ${name}: expected letters, digits, _ . or -.`);
  const folder = join(stacks, name);
  const kept = overridesFile(folder);
  const values: Values = {
    ...(existsSync(kept) ? (readYaml(kept) as Values) : {}),
    ...Object.fromEntries(overrides),
  };
  const dev = readYaml(join(project, "Pulumi.dev.yaml")) as { config: Values };
  const platform = { "ecr-helper:platform": `linux/${process.arch === "arm64" ? "arm64" : "amd64"}` };
  const config = { ...platform, ...dev.config, ...values };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const configFile = join(folder, `Pulumi.${name}.yaml`);
  writeFileSync(configFile, stringify({ ...dev, config }));
  copyFileSync(join(project, "Pulumi.yaml"), join(folder, "Pulumi.yaml"));
  const explicit = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, asText(value)]));
  return { name, project, folder, configFile, config: { ...defaultConfig(), ...explicit }, overrides: values };
}

/** Saves a stack's overrides for its next run. Call it after they have worked, so that a wrong one is not kept. */
export const saveOverrides = ({ folder, overrides }: Stack): void =>
  writeFileSync(overridesFile(folder), JSON.stringify(overrides));

const overridesFile = (folder: string): string => join(folder, "overrides.json");

/** Deletes the folder of a destroyed stack. */
export const forgetStack = (name: string): void => rmSync(join(stacks, name), { recursive: true, force: true });
