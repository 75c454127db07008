// Adapts trust policies to the emulator. For a role's session, `aws:PrincipalArn` is the role's ARN in AWS, but the session's ARN in
// the emulator. Where a condition names a role, its sessions are added for the emulator, and removed from its responses.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
import { GetRoleCommand, UpdateAssumeRolePolicyCommand, type IAMClient } from "@aws-sdk/client-iam";

type Condition = Record<string, Record<string, string | string[]>>;

interface Trust {
  readonly Statement: readonly { readonly Condition?: Condition }[];
}

const key = "aws:PrincipalArn";
const session = /^arn:aws:sts::\d{12}:assumed-role\/[^/]+\/\*$/;

/** A policy document in which the values of each condition on the principal's ARN are replaced. */
function withArns(document: string, valuesOf: (values: readonly string[]) => readonly string[]): string {
  const trust = JSON.parse(document) as Trust;
  for (const condition of trust.Statement.flatMap(({ Condition = {} }) => Object.values(Condition))) {
    const before = condition[key];
    if (before === undefined) continue;
    const values = valuesOf([before].flat());
    condition[key] = values.length === 1 ? (values[0] ?? "") : [...values];
  }
  return JSON.stringify(trust);
}

const withSessions = (arns: readonly string[]): string[] =>
  arns.flatMap((arn) => {
    const [, account = "", name] = /^arn:aws:iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/.exec(arn) ?? [];
    return name === undefined ? [arn] : [arn, `arn:aws:sts::${account}:assumed-role/${name}/*`];
  });

/** Adds the sessions of trusted roles to the trust policy of a role in the emulator. */
export async function addSessionsToTrust(iam: IAMClient, RoleName: string): Promise<void> {
  const { Role } = await iam.send(new GetRoleCommand({ RoleName }));
  const document = decodeURIComponent(Role?.AssumeRolePolicyDocument ?? "");
  const adapted = withArns(document, withSessions);
  if (adapted === withArns(document, (arns) => arns)) return;
  await iam.send(new UpdateAssumeRolePolicyCommand({ RoleName, PolicyDocument: adapted }));
}

/** A response of IAM with the original trust policy, without the added sessions. */
export const removeSessionsFromTrust = (answer: string): string =>
  answer.replace(/(<AssumeRolePolicyDocument>)([^<]+)/g, (_, tag: string, encoded: string) => {
    const document = decodeURIComponent(encoded);
    if (!document.includes(":assumed-role/")) return `${tag}${encoded}`;
    return tag + encodeURIComponent(withArns(document, (arns) => arns.filter((arn) => !session.test(arn))));
  });
