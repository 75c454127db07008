// Names for which the program sets only a prefix (internal/create/naming.go of terraform-provider-aws).
import { randomBytes } from "node:crypto";
import { text } from "./inputs.ts";
import type { Properties } from "../values.ts";

/** The given name, or the given prefix with 26 random digits, where id.PrefixedUniqueId adds the time and a counter. */
export const prefixedName = (inputs: Properties): string =>
  text(inputs, "name") ?? `${text(inputs, "namePrefix") ?? "terraform-"}${randomBytes(13).toString("hex")}`;

/** The prefix of a generated name, for the state (create.NamePrefixFromName). Empty for other names. */
export function prefixOf(name = ""): string {
  return /^(.*)[0-9a-f]{26}$/.exec(name)?.[1] ?? "";
}
