// Decides which service accounts of a build namespace get the helper's entries, by names, glob patterns and a label selector.
import type { Labels } from "./label-selector.ts";
import { isPattern, matchesAny, parseSelector } from "./namespace-rules.ts";

/** The part of the configuration that chooses the service accounts. */
export interface AccountRules {
  /** Names and glob patterns. */
  readonly serviceAccounts: readonly string[];
  /** Selects further service accounts, in the syntax of `kubectl get --selector`; "" for none. */
  readonly serviceAccountSelector: string;
}

/** The service accounts that are named: only these are created where they are missing. */
export const namedAccounts = ({ serviceAccounts }: Pick<AccountRules, "serviceAccounts">): string[] =>
  serviceAccounts.filter((one) => !isPattern(one));

/** Whether the rules can include service accounts that they do not name, so that the helper has to watch them all. */
export const includesUnnamed = ({ serviceAccounts, serviceAccountSelector }: AccountRules): boolean =>
  serviceAccountSelector !== "" || serviceAccounts.some(isPattern);

/** Returns a function that tells by name and labels whether a service account is included. Throws as `parseSelector`. */
export function createAccountMatcher(rules: AccountRules): (name: string, labels?: Labels) => boolean {
  const isIncluded = matchesAny(rules.serviceAccounts);
  const { serviceAccountSelector: selector } = rules;
  const isSelected = selector === "" ? () => false : parseSelector(selector);
  return (name, labels = {}) => isIncluded(name) || isSelected(labels);
}
