// What prisma-client-py hands its engine: flags, PRISMA_DML_PATH (the schema file), OVERWRITE_DATASOURCES (JSON),
// and a connection URL that is never logged. Times are milliseconds; the URL's own parameters are in seconds.
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'

export class SettingsError extends Error {}

export function readArguments(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      version: { type: 'boolean', short: 'V', default: false },
      port: { type: 'string', short: 'p', default: process.env.PORT ?? '4466' },
      host: { type: 'string', default: '127.0.0.1' },
      'enable-metrics': { type: 'boolean', default: false },
      'enable-raw-queries': { type: 'boolean', default: false },
    },
  })
  return {
    version: values.version,
    port: Number(values.port),
    host: values.host,
    metrics: values['enable-metrics'],
    rawQueries: values['enable-raw-queries'],
  }
}

export function readSchemaText(env = process.env) {
  if (!env.PRISMA_DML_PATH) throw new SettingsError('PRISMA_DML_PATH is not set: it names the Prisma schema file')
  return readFileSync(env.PRISMA_DML_PATH, 'utf8')
}

/** The connection URL: the client's override first, then what the schema's datasource names. */
export function databaseUrl(datasource, env = process.env) {
  const overrides = env.OVERWRITE_DATASOURCES ? JSON.parse(env.OVERWRITE_DATASOURCES) : []
  const override = overrides.find((candidate) => candidate.name === datasource.name)?.url
  const url = override ?? (datasource.urlVariable ? env[datasource.urlVariable] : datasource.url)
  if (!url) throw new SettingsError(`no connection URL: set ${datasource.urlVariable ?? 'the datasource url'}`)
  return url
}

/** Settings of the pool and of each connection, from a Prisma connection URL. */
export function databaseSettings(text) {
  let url
  try {
    url = new URL(text)
  } catch {
    throw new SettingsError('the connection URL is not a URL (its value is not shown: it holds a password)')
  }
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw new SettingsError('the connection URL is not a postgresql:// one')
  const query = url.searchParams
  const seconds = (name, otherwise) => 1000 * Number(query.get(name) ?? otherwise)
  const schema = query.get('schema') ?? 'public'
  return {
    host: query.get('host') ?? decodeURIComponent(url.hostname.replace(/^\[(.*)\]$/, '$1')),
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    schema,
    options: sessionOptions(schema, query.get('options')),
    applicationName: query.get('application_name') ?? 'prisma-query-engine',
    ssl: tls(query),
    connectionLimit: Number(query.get('connection_limit') ?? 2 * cpus().length + 1),
    poolTimeout: seconds('pool_timeout', 10),
    connectTimeout: seconds('connect_timeout', 5),
  }
}

// adapter-pg drops the offset of a timestamptz, so a session that is not in UTC would shift every date it reads.
function sessionOptions(schema, given) {
  const searchPath = schema.replace(/["\\]/g, '').replace(/ /g, '\\ ')
  return [given, `-c search_path="${searchPath}"`, '-c TimeZone=UTC'].filter(Boolean).join(' ')
}

// Prisma's default is to encrypt without checking the certificate when asked to; sslaccept=strict checks it.
function tls(query) {
  const mode = query.get('sslmode') ?? 'disable'
  if (mode === 'disable' || mode === 'prefer') return false
  const certificate = query.get('sslcert')
  return {
    rejectUnauthorized: query.get('sslaccept') === 'strict',
    ...(certificate ? { ca: readFileSync(certificate, 'utf8') } : {}),
  }
}
