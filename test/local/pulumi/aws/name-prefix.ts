// Names that the program gives the beginning of (internal/create/naming.go of terraform-provider-aws).
import { randomBytes } from "node:crypto";
import { text } from "./inputs.ts";
import type { Properties } from "../values.ts";

/** The name that is given, or one with the prefix that is: id.PrefixedUniqueId adds time and a counter, 26 digits. */
export const prefixedName = (inputs: Properties): string =>
  text(inputs, "name") ?? `${text(inputs, "namePrefix") ?? "terraform-"}${randomBytes(13).toString("hex")}`;

/** What the state says of the prefix: create.NamePrefixFromName. */
export function prefixOf(name = ""): string {
  return /^(.*)[0-9a-f]{26}$/.exec(name)?.[1] ?? "";
}
