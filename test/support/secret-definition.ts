// A further secret for tests, as a stack defines it.
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";

/** A definition with every field at its default, but those that are given. */
export const secretDefinition = (given: Partial<SecretDefinition> = {}): SecretDefinition => ({
  name: "one",
  type: "Opaque",
  labels: {},
  annotations: {},
  namespaces: ["*"],
  registry: "",
  login: "pull",
  data: {},
  ...given,
});
