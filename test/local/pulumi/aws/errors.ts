// Errors of AWS in the format of the original provider: the operation and its resource, the API call, the error code and the message.
// "creating IAM User (NAME): operation error IAM: CreateUser, https response error StatusCode: 409, RequestID: ...,
// EntityAlreadyExists: ..." (aws-sdk-go-v2's OperationError and ResponseError, with the provider's prefix).

/** An API call that AWS refused, or that did not reach AWS. */
export class AwsError extends Error {
  /** AWS' error code, such as `NoSuchEntity` or `RepositoryNotFoundException`. */
  readonly code: string;

  constructor(operation: string, cause: unknown) {
    const { name = "", message = String(cause), Code, $metadata } = cause as Partial<ServiceError>;
    const code = Code ?? name;
    const status = $metadata?.httpStatusCode;
    const response =
      status === undefined
        ? ""
        : `https response error StatusCode: ${String(status)}, RequestID: ${$metadata?.requestId ?? ""}, `;
    super(`operation error ${operation}, ${response}${code}: ${message}`, { cause });
    this.code = code;
  }
}

interface ServiceError {
  readonly name: string;
  readonly message: string;
  /** The code itself, where the SDK's class has another name. */
  readonly Code: string;
  readonly $metadata: { readonly httpStatusCode?: number; readonly requestId?: string };
}

/** Adds to the error of a failed call what it was doing: `creating IAM User (NAME)`. */
export const withContext = async <T>(what: string, answer: Promise<T>): Promise<T> =>
  answer.catch((error: unknown) => {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  });

/** The error's code, or that of the error behind it. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof AwsError) return error.code;
  return error instanceof Error ? codeOf(error.cause) : undefined;
}

/** Gives undefined where AWS answers that the resource does not exist; any other error is passed on. */
export const undefinedIfGone = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (/^NoSuchEntity|NotFound(Exception)?$/.test(codeOf(error) ?? "")) return undefined;
    throw error;
  });
