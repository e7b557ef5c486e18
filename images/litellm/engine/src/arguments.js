// GraphQL argument values as JSON-protocol values. GraphQL writes a Json value as a string; the JSON protocol would
// store that string, so every leaf below a Json field is tagged. Everything else the engine coerces by itself.

const FILTERS_ON_TEXT = new Set(['path', 'mode', 'string_contains', 'string_starts_with', 'string_ends_with'])
const NESTED = new Set(['create', 'createMany', 'connect', 'connectOrCreate', 'set', 'disconnect', 'delete'])
for (const name of ['deleteMany', 'update', 'updateMany', 'upsert', 'data', 'where']) NESTED.add(name)
for (const name of ['is', 'isNot', 'some', 'every', 'none']) NESTED.add(name)
const OF_MODEL = new Set(['where', 'data', 'create', 'update', 'cursor', 'having', 'orderBy'])

/** {argument: value}; `model` is null for raw SQL, whose arguments are plain. */
export function argumentsOf(nodes, model, models) {
  return fromEntries(nodes, (name, value) =>
    model && OF_MODEL.has(name) ? modelValue(value, model, models) : plain(value),
  )
}

function fromEntries(nodes, convert) {
  const result = {}
  for (const { name, value } of nodes) result[name.value] = convert(name.value, value)
  return result
}

/** `each` on every object of a value that may be a list; anything else as it is. */
function objects(value, each) {
  if (value.kind === 'ListValue') return value.values.map((item) => objects(item, each))
  return value.kind === 'ObjectValue' ? each(value.fields) : plain(value)
}

function modelValue(value, model, models) {
  const known = models.get(model)
  return objects(value, (fields) =>
    fromEntries(fields, (name, inner) => {
      const field = known.get(name)
      if (!field) return modelValue(inner, model, models) // AND, OR, NOT, a compound key, _count …
      if (field.relation) return relationValue(inner, field.type, models)
      return field.type === 'Json' ? jsonValue(inner) : plain(inner)
    }),
  )
}

// Directly under a relation: nested writes and list filters, or the related model's own fields.
function relationValue(value, model, models) {
  return objects(value, (fields) =>
    fields.every(({ name }) => NESTED.has(name.value))
      ? fromEntries(fields, (_, inner) => relationValue(inner, model, models))
      : modelValue({ kind: 'ObjectValue', fields }, model, models),
  )
}

function jsonValue(value) {
  if (value.kind === 'ListValue') return value.values.map(jsonValue)
  if (value.kind === 'StringValue') return { $type: 'Json', value: value.value }
  if (value.kind !== 'ObjectValue') return plain(value)
  return fromEntries(value.fields, (name, inner) => (FILTERS_ON_TEXT.has(name) ? plain(inner) : jsonValue(inner)))
}

function plain(value) {
  switch (value.kind) {
    case 'IntValue':
      return Number.isSafeInteger(Number(value.value)) ? Number(value.value) : { $type: 'BigInt', value: value.value }
    case 'FloatValue':
      return Number(value.value)
    case 'NullValue':
      return null
    case 'ListValue':
      return value.values.map(plain)
    case 'ObjectValue':
      return fromEntries(value.fields, (_, inner) => plain(inner))
    case 'Variable':
      throw new Error('GraphQL variables are not supported')
    default:
      return value.value
  }
}
