// Where Pulumi is put together for this checkout, and where the user's own Pulumi keeps its downloads.
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The checkout's root folder. */
export const project = resolve(import.meta.dirname, "../../..");

/** PULUMI_HOME of this checkout. */
export const pulumiHome = join(project, "build/pulumi");

/** Whether a folder belongs to the PULUMI_HOME of some checkout, as in a shell of `npm run env`. */
export const isCheckoutFolder = (folder: string): boolean => /\/build\/pulumi(\/bin)?\/?$/.test(folder);

/**
 * PULUMI_HOME of the user, with the official downloads. It is read when this module is loaded, because this process later sets
 * PULUMI_HOME to `pulumiHome`.
 */
export const userHome = ((folder = "") =>
  folder === "" || isCheckoutFolder(folder) ? join(homedir(), ".pulumi") : folder)(process.env["PULUMI_HOME"]);

/** The folder with the pulumi command; it has to be the first one on PATH. */
export const pulumiFolder = join(pulumiHome, "bin");

/** The path of the pulumi command. */
export const pulumiCommand = join(pulumiFolder, "pulumi");
