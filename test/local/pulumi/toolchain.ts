// Pulumi for this checkout: the command and its plugins, put together in a PULUMI_HOME of its own. Official ones are used where
// they can be had.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { say } from "../progress.ts";
import { replaceLink } from "./program-files.ts";
import { originOfPlugin, preparePlugin, providers } from "./provider-plugins.ts";
import { prepareCommand } from "./pulumi-command.ts";
import { pulumiFolder, pulumiHome } from "./pulumi-home.ts";

/** The environment variables with which the pulumi command uses these plugins and downloads no others. */
export const pulumiEnvironment = (): Record<string, string> => ({
  // Only the official language host and plugins can generate code after an import.
  ...(existsSync(join(pulumiFolder, "pulumi-language-nodejs")) ? { PULUMI_OPTION_GENERATE_CODE: "false" } : {}),
  // The provider that is built from Go modules creates objects by server-side apply, which takes over existing objects of others.
  // The official one has refused that since 4.29: https://github.com/pulumi/pulumi-kubernetes/pull/4278
  ...(originOfPlugin("kubernetes") === "built from Go modules" ? { PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY: "false" } : {}),
  PULUMI_HOME: pulumiHome,
  PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
  PULUMI_SKIP_UPDATE_CHECK: "true",
});

/** Provides the command and its plugins, and says in one line which ones they are, and why. */
export async function preparePulumi(): Promise<void> {
  await mkdir(pulumiFolder, { recursive: true });
  await replaceLink(process.execPath, join(pulumiFolder, "node"));
  const command = await prepareCommand();
  const plugins: string[] = [];
  for (const name of providers) plugins.push(`${name} ${await preparePlugin(name, command)}`);
  say(`Pulumi: command ${command.description}; providers ${plugins.join(", ")}. ${command.reason}`.trim());
}
