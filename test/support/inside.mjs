// The hands of a test inside a lab node: one process a node, which reads one request a line and answers each with one line.
// It ends when its input ends, so it cannot outlive the test.
import { createServer, request } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { createInterface } from 'node:readline';

const servers = new Map();

const operations = {
  /** One HTTP request; a status of 400 and more is an answer like any other. */
  http({ method, url, headers, body, timeoutMs }) {
    return new Promise((resolve, reject) => {
      const sent = request(
        url,
        { method, headers, timeout: timeoutMs, agent: false },
        (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            resolve({
              status: response.statusCode,
              headers: response.headers,
              body: Buffer.concat(chunks).toString('utf8'),
            });
          });
        },
      );
      sent.on('timeout', () => sent.destroy(new Error(`${url}: no answer within ${timeoutMs} ms`)));
      sent.on('error', reject);
      sent.end(body);
    });
  },

  /** Listens on a TCP port: accepts and closes, or answers every HTTP request with `body`. */
  listen({ id, host, port, body }) {
    const server =
      body === undefined
        ? createTcpServer((socket) => socket.on('error', () => {}).end())
        : createServer((_, response) => response.end(body));
    return new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen(port, host, () => {
        servers.set(id, server);
        resolve({ id, port: server.address().port });
      });
    });
  },

  unlisten({ server: id }) {
    return new Promise((resolve) => servers.get(id).close(() => resolve({})));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  operations[call.operation](call).then(
    (answer) => say({ id: call.id, answer }),
    (error) =>
      say({
        id: call.id,
        error: `${error.code ?? ''} ${error.message}`.trim(),
      }),
  );
}
process.exit(0);

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
