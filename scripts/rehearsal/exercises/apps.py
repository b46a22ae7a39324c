from django.apps import AppConfig


class ExercisesConfig(AppConfig):
    name = "scripts.rehearsal.exercises"
    label = "exercises"
