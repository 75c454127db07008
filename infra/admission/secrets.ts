// What the secrets that the helper writes have to be: what helper/resources/secrets.ts makes of them, whatever others added.
import { dockerConfigKey, dockerConfigType } from "../../helper/shared/docker-config.ts";
import { annotationPrefix } from "../../helper/shared/ownership.ts";
import {
  addsNone,
  beforeAndAfter,
  created,
  deleted,
  isOwn,
  isOwner,
  keepsFinalizers,
  keepsOthers,
  metadata,
  existed,
  type KeptObjects,
  type Rules,
} from "./rules.ts";
import { allOf, anyOf, isBuildNamespace, literal } from "./cel.ts";

/** The types of the helper's secrets and the keys of each: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types */
const types = {
  basicAuth: { type: "kubernetes.io/basic-auth", keys: ["username", "password"] },
  pull: { type: dockerConfigType, keys: [dockerConfigKey] },
} as const;

const hasType = ({ type, keys }: (typeof types)[keyof typeof types]): string =>
  allOf([
    `object.type == ${literal(type)}`,
    ...keys.map((key) => `${literal(key)} in variables.data`),
    `variables.data.all(k, k in ${literal(keys)} || k in variables.dataBefore)`,
  ]);

/**
 * A name decides of which type the secret is. Which names there may be its roles say, and while one helper takes over from
 * another they say it for both: the names of the one that ends are not known here, and may be of either type.
 */
const hasTypeOfItsName = ({ basicAuthSecrets, pullSecret }: KeptObjects): string =>
  anyOf([
    allOf([`object.metadata.name != ${literal(pullSecret)}`, hasType(types.basicAuth)]),
    allOf([`!(object.metadata.name in ${literal(basicAuthSecrets)})`, hasType(types.pull)]),
  ]);

/** Those that helper/resources/secrets.ts writes: the helper's own, and the hosts for Knative and Tekton. */
const isSecretAnnotation = anyOf([
  `k.startsWith(${literal(annotationPrefix)})`,
  `k.matches(${literal("^(build[.]knative|tekton)[.]dev/docker-[0-9]+$")})`,
]);

export const secretRules = (kept: KeptObjects): Rules => ({
  variables: [
    ...metadata,
    ...beforeAndAfter("data", "?data", "{}"),
    {
      name: "isKept",
      expression: `request.namespace == ${literal(kept.targets.namespace)} || (${isBuildNamespace(kept.targets)})`,
    },
  ],
  validations: [
    {
      expression: `${created} || ${isOwn(kept, "labelsBefore")}`,
      message: "the helper may only change and delete secrets that it made",
    },
    {
      expression: `${deleted} || variables.isKept`,
      message: "the helper may only keep secrets in build namespaces of its stack, and in its own",
    },
    {
      expression: `${deleted} || ${hasTypeOfItsName(kept)}`,
      message:
        "the helper may only keep secrets of type basic-auth and dockerconfigjson, as their names say, with nothing more",
    },
    {
      expression: `${deleted} || ${allOf([
        isOwn(kept, "labels"),
        `variables.owners.exists(r, ${isOwner(kept)})`,
        `variables.owners.all(r, ${isOwner(kept)} || ${existed})`,
      ])}`,
      message: "a secret of the helper's has the labels of its stack, and is owned by it and by nobody else",
    },
    {
      expression: `${deleted} || ${allOf([
        keepsOthers("labels", "false"),
        keepsOthers("annotations", isSecretAnnotation),
        addsNone("annotations", isSecretAnnotation),
        keepsFinalizers,
        "!object.?immutable.orValue(false)",
      ])}`,
      message: "the helper may only write its own annotations into a secret, and make none immutable",
    },
  ],
});
