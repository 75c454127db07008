// Patterns of what AWS accepts as a name, an ARN, a principal or a URL.
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
/** The same, or `*` for everyone. */
export const principalOrAll = new RegExp(`^\\*$|${principal.source}`);
/** The ARN of a role. */
export const roleArn = new RegExp(`^arn:${partition}:iam::\\d{12}:role/${path}${name}$`);
/** The name of an IAM policy. */
export const policyName = /^[\w+=,.@-]{1,128}$/;
/** The name of an IAM user or role. */
export const entityName = new RegExp(`^${name}$`);
/** An IAM path: `/` or `/SOME/PATH/`. */
export const iamPath = /^\/(?:[!-~]{1,510}\/)?$/;
/** The ARN of an IAM policy, of an account or of AWS. */
export const policyArn = new RegExp(`^arn:${partition}:iam::(?:\\d{12}|aws):policy/${path}[\\w+=,.@-]{1,128}$`);
/** The ARN of an IAM OIDC provider. */
export const oidcProviderArn = new RegExp(`^arn:${partition}:iam::\\d{12}:oidc-provider/${issuer}$`, "i");
/** `KEY=VALUE`: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html */
export const tag = /^(?!aws:)(?!__proto__=)[\p{L}\p{N} _.:/+@-]{1,128}=[\p{L}\p{N} _.:/=+@-]{0,256}$/iu;

// Repository names as ECR's service model defines them. The pages of its API reference are older and exclude `a__b` and
// `a--b`.
// https://github.com/boto/botocore/blob/develop/botocore/data/ecr/2015-09-21/service-2.json, RepositoryName
// https://github.com/distribution/reference/blob/main/regexp.go, path-component
const pathOf = (letter: string): string => {
  const component = `${letter}+(?:(?:[._]|__|-+)${letter}+)*`;
  return `${component}(?:/${component})*`;
};

/** The path in an image's name, which is the name of its repository. */
export const imagePath = pathOf("[a-z0-9]");
/** The name of a repository. ECR accepts 256 characters, but Docker at most 255 including the registry's host. */
export const repositoryName = new RegExp(`^(?=.{2,200}$)${imagePath}$`);
/** The same with `*` for any characters and `?` for one in place of letters. The limit is 256 characters here. */
export const repositoryPattern = new RegExp(`^(?=.{2,256}$|\\*$)${pathOf("[a-z0-9*?]")}$`);
/** The ARN of a repository. Groups: partition, region, account, and the name, which may be any text. */
export const repositoryArn = new RegExp(`^arn:(${partition}):ecr:(${region}):(\\d{12}):repository/(.*)$`, "s");
// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id
const kmsKeyId = "(?:[\\da-f]{8}(?:-[\\da-f]{4}){3}-[\\da-f]{12}|mrk-[\\da-f]{32})";
/** The ARN of a KMS key, not of an alias. Groups: partition and region. */
export const kmsKeyArn = new RegExp(`^arn:(${partition}):kms:(${region}):\\d{12}:key/${kmsKeyId}$`);
/** The name of an EKS cluster: https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html */
export const eksClusterName = /^[0-9A-Za-z][\w-]{0,99}$/;

/**
 * Accepts what both the pattern and `URL` accept: `URL` rejects invalid addresses and ports. But it would correct a
 * host such as 10.0.1, which is not an address, so the host must come out unchanged.
 */
const url = (pattern: RegExp): Pick<RegExp, "test"> => ({
  test: (value) =>
    pattern.test(value) &&
    URL.canParse(value) &&
    (value.includes("[") || value.toLowerCase().split(/[/:]+/)[1] === new URL(value).hostname),
});

/** The URL of an OIDC issuer: https://openid.net/specs/openid-connect-core-1_0.html#IssuerIdentifier */
export const issuerUrl = url(new RegExp(`^(?=.{1,255}$)https://${issuer}$`, "i"));
/** The URL of an AWS endpoint, http or https, without a path. */
export const endpointUrl = url(new RegExp(`^https?://(?:${dnsName}|\\[[0-9a-f:.]{2,45}\\])${portSuffix}/?$`, "i"));

/**
 * Escapes an ARN for a policy condition, where `*`, `?` and `$` (which an IAM path may contain) have a special meaning.
 */
export const literalArn = (arn: string): string => arn.replace(/[*?$]/g, (one) => `\${${one}}`);
