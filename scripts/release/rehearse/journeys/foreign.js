module.exports = { journeys: {} }
