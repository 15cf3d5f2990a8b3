"""Do marketing and finance tell one story: definitions, measures, exact bridges, scorecard, roll-up."""
