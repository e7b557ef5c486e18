// The few facts about a Prisma schema that the engine needs: which fields are relations, which are Json,
// where the connection URL comes from; and the same schema in the form the WebAssembly engine accepts.

const BLOCK = /^(model|datasource|generator|enum)\s+(\w+)\s*\{\n([\s\S]*?)^\}/gm
const FIELD = /^\s*(\w+)\s+(\w+)(\[\]|\?)?/
const WASM_GENERATOR = 'generator engine {\n  provider = "prisma-client-js"\n  previewFeatures = ["driverAdapters"]\n}\n'

/** {models: Map(name → Map(field → {type, relation})), datasource: {name, url, urlVariable}, datamodel}. */
export function parseSchema(text) {
  const blocks = [...text.matchAll(BLOCK)].map(([source, kind, name, body]) => ({ source, kind, name, body }))
  const modelNames = new Set(blocks.filter(({ kind }) => kind === 'model').map(({ name }) => name))
  const models = new Map()
  for (const { kind, name, body } of blocks) {
    if (kind === 'model') models.set(name, parseFields(body, modelNames))
  }
  const source = blocks.find(({ kind }) => kind === 'datasource')
  if (!source) throw new Error('the Prisma schema has no datasource block')
  return { models, datasource: parseDatasource(source), datamodel: forWasm(blocks, source) }
}

function parseFields(body, modelNames) {
  const fields = new Map()
  for (const line of body.split('\n')) {
    const match = /^\s*(\/\/|@@)/.test(line) ? null : FIELD.exec(line)
    if (match) fields.set(match[1], { type: match[2], relation: modelNames.has(match[2]) })
  }
  return fields
}

function parseDatasource({ name, body }) {
  const variable = /^\s*url\s*=\s*env\("([^"]+)"\)/m.exec(body)?.[1]
  const url = /^\s*url\s*=\s*"([^"]+)"/m.exec(body)?.[1]
  return { name, url, urlVariable: variable }
}

// The adapter holds the connection, so the URL here is never used; it only has to be well formed.
function forWasm(blocks, source) {
  const datasource = `datasource ${source.name} {\n  provider = "postgresql"\n  url = "postgresql://unused"\n}\n`
  const rest = blocks.filter(({ kind }) => kind === 'model' || kind === 'enum').map((block) => block.source)
  return [WASM_GENERATOR, datasource, ...rest].join('\n')
}
