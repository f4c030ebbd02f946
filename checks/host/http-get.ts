/** @module One bounded HTTP GET. */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { errorCode } from './files.ts';

const maximumBodyBytes = 64 << 10;

export type HttpAnswer =
  | { readonly status: number; readonly body: string }
  | { readonly error: string };

/**
 * Gets a URL: status and at most 64 KiB of body, or the code of what went wrong. No redirect is followed, no
 * credential sent, and **the certificate is not judged**: the question is whether somebody answers there.
 */
export function httpGet(url: string, signal: AbortSignal): Promise<HttpAnswer> {
  const request = new URL(url).protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve) => {
    const fail = (cause: unknown): void => {
      resolve({ error: signal.aborted ? 'ETIMEDOUT' : errorCode(cause) });
    };
    try {
      const options = { signal, agent: false, rejectUnauthorized: false, method: 'GET' } as const;
      const outgoing = request(url, options, (incoming) => {
        const chunks: Buffer[] = [];
        let total = 0;
        const finish = (): void => {
          const body = Buffer.concat(chunks).subarray(0, maximumBodyBytes).toString('utf8');
          resolve({ status: incoming.statusCode ?? 0, body });
        };
        incoming.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          total += chunk.length;
          if (total < maximumBodyBytes) return;
          finish();
          incoming.destroy();
        });
        incoming.on('end', finish);
        incoming.on('error', fail);
      });
      outgoing.on('error', fail);
      outgoing.end();
    } catch (cause) {
      fail(cause);
    }
  });
}
