/**
 * How a function that is invoked directly fails: Lambda passes an error's name and message on to whoever asked, so these hold the
 * code and the text for people. There is no stack trace in it, nor anything of the cause.
 */
import { asBucardoError } from './bucardo-error.ts';

export function functionError(thrown: unknown): Error {
  const error = asBucardoError(thrown);
  const failure = new Error(`${error.message}\n  What to do: ${error.remedy}`);
  failure.name = error.code;
  failure.stack = '';
  return failure;
}
