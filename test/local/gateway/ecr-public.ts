// ECR Public, which the emulator does not have: GetAuthorizationToken alone. The emulator checks the signature of a request before it
// looks for the service, so that its answer tells whether the caller is who it says.
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html
import { publicRegistryRegion } from "../../../helper/shared/names.ts";
import type { AwsOperation } from "../aws-requests.ts";
import type { Refusal } from "./iam-checks.ts";

const isOfEcrPublic = (operation: AwsOperation | undefined): boolean =>
  operation?.action.startsWith("ecr-public:") === true;

/** The refusal of a request to ECR Public that is signed for a region without it; undefined for any other request. */
export const checkEcrPublic = (operation: AwsOperation): Refusal | undefined =>
  !isOfEcrPublic(operation) || operation.region === publicRegistryRegion
    ? undefined
    : { status: 403, code: "InvalidSignatureException", message: "Credential should be scoped to a valid region." };

/** What the emulator answers where it has found nothing wrong with a request but that it does not have the service. */
const unsupported = '{"error": "Unsupported service: ecr-public"}';

/** An answer with one element instead of ECR's list, whose token is still to be issued. */
const unissued = Buffer.from(JSON.stringify({ authorizationData: { authorizationToken: "", expiresAt: 0 } }));

/** The answer to a request: of one to ECR Public that the emulator has verified, the answer of ECR Public. */
export const answerEcrPublic = <Answer extends { responseBody: Buffer }>(
  operation: AwsOperation | undefined,
  answer: Answer,
): Answer =>
  isOfEcrPublic(operation) && answer.responseBody.toString() === unsupported
    ? Object.assign(answer, { statusCode: 200, responseBody: unissued })
    : answer;
