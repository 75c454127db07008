// What AWS takes for a name, an ARN, a principal or an address.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
import { dnsName, portSuffix, region } from "../../helper/shared/names.ts";

const partition = "aws(?:-[a-z]+)*";
const path = "(?:[!-~]{1,510}/)?";
const name = "[\\w+=,.@-]{1,64}";
const issuer = `${dnsName}${portSuffix}(?:/[\\w.~/-]*)?`;
const account = `iam::\\d{12}:(?:root|(?:user|role)/${path}${name})`;
const session = `sts::\\d{12}:(?:assumed-role/${name}/${name}|federated-user/${name})`;

/** An account's id, or the ARN of an account, a user, a role or a session. */
export const principal = new RegExp(`^(?:\\d{12}|arn:${partition}:(?:${account}|${session}))$`);
/** The same, or `*` for everybody. */
export const principalOrAll = new RegExp(`^\\*$|${principal.source}`);
export const policyName = /^[\w+=,.@-]{1,128}$/;
/** Of a user or a role. */
export const entityName = new RegExp(`^${name}$`);
export const iamPath = /^\/(?:[!-~]{1,510}\/)?$/;
export const policyArn = new RegExp(`^arn:${partition}:iam::(?:\\d{12}|aws):policy/${path}[\\w+=,.@-]{1,128}$`);
export const oidcProviderArn = new RegExp(`^arn:${partition}:iam::\\d{12}:oidc-provider/${issuer}$`, "i");
// https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
export const tag = /^(?!aws:)(?!__proto__=)[\p{L}\p{N} _.:/+@-]{1,128}=[\p{L}\p{N} _.:/=+@-]{0,256}$/iu;

// The names of repositories, as ECR's service model has them: the pages of its API are older, and refuse `a__b` and `a--b`.
// https://github.com/boto/botocore/blob/develop/botocore/data/ecr/2015-09-21/service-2.json, RepositoryName
// https://github.com/distribution/reference/blob/main/regexp.go, path-component
const pathOf = (letter: string): string => {
  const component = `${letter}+(?:(?:[._]|__|-+)${letter}+)*`;
  return `${component}(?:/${component})*`;
};

/** The path of an image's name, which is the name of its repository. */
export const imagePath = pathOf("[a-z0-9]");
/** ECR takes 256 characters, but Docker takes no more than 255 with the registry's host. */
export const repositoryName = new RegExp(`^(?=.{2,200}$)${imagePath}$`);
/** The same with `*` for any characters and `?` for one, wherever a name may have a letter; here 256 is the limit. */
export const repositoryPattern = new RegExp(`^(?=.{2,256}$|\\*$)${pathOf("[a-z0-9*?]")}$`);
/** The groups are its partition, region and account, and the name, which may be any text. */
export const repositoryArn = new RegExp(`^arn:(${partition}):ecr:(${region}):(\\d{12}):repository/(.*)$`, "s");
// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id
const kmsKeyId = "(?:[\\da-f]{8}(?:-[\\da-f]{4}){3}-[\\da-f]{12}|mrk-[\\da-f]{32})";
/** Not an alias of it. Its partition and its region are the first groups. */
export const kmsKeyArn = new RegExp(`^arn:(${partition}):kms:(${region}):\\d{12}:key/${kmsKeyId}$`);
// https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html
export const eksClusterName = /^[0-9A-Za-z][\w-]{0,99}$/;

/**
 * What a pattern of URLs takes and `URL` takes too: it knows which numbers are no address and no port. It would mend a host
 * such as 10.0.1, which is none.
 */
const url = (pattern: RegExp): Pick<RegExp, "test"> => ({
  test: (value) =>
    pattern.test(value) &&
    URL.canParse(value) &&
    (value.includes("[") || value.toLowerCase().split(/[/:]+/)[1] === new URL(value).hostname),
});

// https://openid.net/specs/openid-connect-core-1_0.html#IssuerIdentifier
export const issuerUrl = url(new RegExp(`^(?=.{1,255}$)https://${issuer}$`, "i"));
export const endpointUrl = url(new RegExp(`^https?://(?:${dnsName}|\\[[0-9a-f:.]{2,45}\\])${portSuffix}/?$`, "i"));

/** An ARN in a condition, where `*`, `?` and `$` of a path would have a meaning. */
export const literalArn = (arn: string): string => arn.replace(/[*?$]/g, (one) => `\${${one}}`);
