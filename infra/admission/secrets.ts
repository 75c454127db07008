// The rules for secrets: the helper may only write what helper/resources/secrets.ts creates, and must keep what others
// added.
import { dockerConfigKey, dockerConfigType } from "../../helper/shared/docker-config.ts";
import { annotationPrefix } from "../../helper/shared/ownership.ts";
import { basicAuthType } from "../../helper/shared/secret-definition.ts";
import {
  furtherVariables,
  hasType,
  isAsDefined,
  isInItsNamespaces,
  keepsAnnotations,
  keepsLabels,
} from "./further-secrets.ts";
import {
  beforeAndAfter,
  created,
  deleted,
  isOwn,
  isOwned,
  isOwner,
  keepsFinalizers,
  metadata,
  existed,
  updated,
  type KeptObjects,
  type Rules,
} from "./rules.ts";
import { allOf, anyOf, isBuildNamespace, literal } from "./cel.ts";

/**
 * The types of the logins for builds, and of the pull secret and the groups' tokens, and their keys:
 * https://kubernetes.io/docs/concepts/configuration/secret/#secret-types
 */
const isBasicAuth = hasType(basicAuthType, ["username", "password"]);
const isPull = hasType(dockerConfigType, [dockerConfigKey]);

/**
 * The name of a secret decides its type. RBAC restricts the names, and during a rollout it allows those of both
 * helpers: the old helper's names are not known here, so they may have either type.
 */
const hasTypeOfItsName = ({ basicAuthSecrets, pullSecret, tokensSecrets }: KeptObjects): string =>
  anyOf([
    allOf([`!(object.metadata.name in ${literal([pullSecret, ...tokensSecrets])})`, isBasicAuth]),
    allOf([`!(object.metadata.name in ${literal(basicAuthSecrets)})`, isPull]),
  ]);

/** Whether a secret that is none of the further ones is where it belongs: the groups' tokens are for the next helper alone. */
function isInPlace({ namespaceRules, tokensSecrets }: KeptObjects): string {
  const isInOwn = `request.namespace == ${literal(namespaceRules.namespace)}`;
  return tokensSecrets.length === 0
    ? `${isInOwn} || variables.isBuild`
    : `${isInOwn} || ${allOf(["variables.isBuild", `!(object.metadata.name in ${literal(tokensSecrets)})`])}`;
}

/** The annotations that helper/resources/secrets.ts writes: the helper's own, and the hosts for Knative and Tekton. */
const isSecretAnnotation = anyOf([
  `k.startsWith(${literal(annotationPrefix)})`,
  `k.matches(${literal("^(build[.]knative|tekton)[.]dev/docker-[0-9]+$")})`,
]);

/** The rules for secrets. */
export const secretRules = (kept: KeptObjects): Rules => ({
  variables: [
    ...metadata,
    ...beforeAndAfter("data", "?data", "{}"),
    ...furtherVariables(kept),
    { name: "isBuild", expression: isBuildNamespace(kept.namespaceRules) },
    {
      name: "isKept",
      expression: isInItsNamespaces(kept, "variables.isBuild", isInPlace(kept)),
    },
  ],
  validations: [
    {
      expression: `${created} || ${isOwn(kept, "labelsBefore")}`,
      message: "the helper may only change and delete secrets that it made",
    },
    {
      // An old helper goes on with what it has made where the new definition has it no more.
      expression: `${deleted} || variables.isKept || ${allOf([updated, "variables.isBuild"])}`,
      message:
        "the helper may only keep secrets in build namespaces of its stack, and in its own, as its configuration says",
    },
    {
      expression: `${deleted} || ${isAsDefined(kept, hasTypeOfItsName(kept))}`,
      message:
        "the helper may only keep secrets of the types and keys of its configuration, as their names say, with nothing more",
    },
    {
      expression: `${deleted} || ${allOf([
        isOwn(kept, "labels"),
        `variables.owners.all(r, ${isOwner(kept)} || ${existed})`,
        isOwned(kept),
      ])}`,
      message: "a secret of the helper's has the labels of its stack, and is owned by it and by nobody else",
    },
    {
      expression: `${deleted} || ${allOf([
        keepsLabels,
        keepsAnnotations(isSecretAnnotation),
        keepsFinalizers,
        "!object.?immutable.orValue(false)",
      ])}`,
      message: "the helper may only write its own annotations and labels into a secret, and make none immutable",
    },
  ],
});
