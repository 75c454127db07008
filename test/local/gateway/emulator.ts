// Clients of the emulator, with the credentials of an account's root.
import { ECRClient } from "@aws-sdk/client-ecr";
import { IAMClient } from "@aws-sdk/client-iam";
import { aws, url, type Endpoint } from "../settings.ts";
import { rootCredentials } from "../root-key.ts";

/** A registry of ECR. */
export interface RegistryId {
  /** The account's id, 12 digits. */
  readonly account: string;
  readonly region: string;
}

/** Creates one client for each service, account and region, and keeps it. */
export class Emulator {
  readonly endpoint: Endpoint;
  readonly #iam = new Map<string, IAMClient>();
  readonly #ecr = new Map<string, ECRClient>();

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** A client of an account's IAM. */
  iam(account: string): IAMClient {
    const client =
      this.#iam.get(account) ??
      new IAMClient({ endpoint: url(this.endpoint), region: aws.AWS_REGION, credentials: rootCredentials(account) });
    this.#iam.set(account, client);
    return client;
  }

  /** A client of ECR in an account and a region. */
  ecr({ account, region }: RegistryId): ECRClient {
    const key = `${account} ${region}`;
    const client =
      this.#ecr.get(key) ??
      new ECRClient({ endpoint: url(this.endpoint), region, credentials: rootCredentials(account) });
    this.#ecr.set(key, client);
    return client;
  }

  close(): void {
    for (const client of [...this.#iam.values(), ...this.#ecr.values()]) client.destroy();
  }
}
