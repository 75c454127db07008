// A role of the second account that a stack's helper may assume to pull there.
import {
  CreateRoleCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, fipsHost, otherAccount } from "../local/settings.ts";

/** The role of that name, for the helper with this ARN. A test has to call `remove`. */
export class PullRole {
  /** The entry of `registries` with it: another host of the registry than the usual one, which the helper itself logs in to. */
  readonly entry: { host: string; roleArn: string; externalId: string; sessionTags: string[] };
  /** The trust policy that the stack's output has to have. */
  readonly trust: object;
  readonly #name: string;
  readonly #iam = new IAMClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(otherAccount) });

  constructor(name: string, helper: string) {
    this.#name = name;
    const roleArn = `arn:aws:iam::${otherAccount}:role/${name}`;
    this.entry = { host: fipsHost(otherAccount), roleArn, externalId: name, sessionTags: ["team=a"] };
    const trusted = (action: string, condition: object): object => ({
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${account}:root` },
      Action: [action],
      Condition: { ArnEquals: { "aws:PrincipalArn": helper }, StringEquals: condition },
    });
    const [assume, tag] = [{ "sts:ExternalId": name }, { "aws:RequestTag/team": "a" }];
    this.trust = {
      Version: "2012-10-17",
      Statement: [trusted("sts:AssumeRole", assume), trusted("sts:TagSession", tag)],
    };
  }

  async create(): Promise<void> {
    const AssumeRolePolicyDocument = JSON.stringify(this.trust);
    await this.#iam.send(new CreateRoleCommand({ RoleName: this.#name, AssumeRolePolicyDocument }));
    const allow = (...Action: string[]): object => ({ Effect: "Allow", Action, Resource: "*" });
    const Statement = [allow("ecr:GetAuthorizationToken"), allow("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")];
    const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement });
    await this.#iam.send(new PutRolePolicyCommand({ RoleName: this.#name, PolicyName: "pull", PolicyDocument }));
  }

  async remove(): Promise<void> {
    await this.#iam.send(new DeleteRolePolicyCommand({ RoleName: this.#name, PolicyName: "pull" }));
    await this.#iam.send(new DeleteRoleCommand({ RoleName: this.#name }));
  }
}
