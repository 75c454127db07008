// Reads which service accounts of build namespaces refer to the kept secrets.
import type { ConfigReader } from "./reader.ts";
import { readSelector } from "./selector.ts";
import type { AccountRules } from "../../helper/shared/account-rules.ts";
import { accountPattern } from "../../helper/shared/names.ts";

/** Reads the names, patterns and the selector, of which there has to be one at least. */
export function readAccountRules(config: ConfigReader): AccountRules {
  const expected = "names of service accounts or patterns of them (lower case, digits, - and ., and * or ? for any)";
  const serviceAccounts = config.strings("serviceAccounts", accountPattern, expected);
  const serviceAccountSelector = readSelector(config, "serviceAccountSelector");
  if (serviceAccounts.length === 0 && serviceAccountSelector === "")
    config.addMistake("serviceAccounts", "[]", "at least one name or pattern, or a serviceAccountSelector");
  for (const one of serviceAccounts.filter((other, index) => serviceAccounts.indexOf(other) !== index))
    config.addMistake("serviceAccounts", one, "each name or pattern once");
  return { serviceAccounts, serviceAccountSelector };
}
